// What an agent does on a heartbeat's reply: a pure function of what it holds and what it should.
//
// Both lists are whole, so a lost, repeated or late message needs no case of its own. The caller
// makes one heartbeat at a time, so everything that it holds when the reply comes it held, or had
// begun, when it asked.
#pragma once

#include <vector>

#include "proto/worker.pb.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

// An attempt that the agent has.
struct Held {
  Lease lease;
  std::vector<std::string> devices;
  bool running = false;  // a process of it lives
  bool dropped = false;  // being ended and forgotten; not in the heartbeat's list
  bool told_preempt = false;
  bool told_cancel = false;
};

struct Renewal {
  Lease lease;
  int64_t lease_ms = 0;
  bool operator==(const Renewal&) const = default;
};

struct Actions {
  std::vector<v1::Hold> start;
  std::vector<Renewal> renew;
  std::vector<Lease> preempt;  // told once
  std::vector<Lease> cancel;   // told once; also after preempt
  std::vector<Lease> drop;
};

// A new attempt waits for a later reply while something that is being ended still runs on one of
// its devices or is an attempt of the same run. Holds without a spec that are not held are of
// attempts that ended between request and reply: nothing to do.
Actions Reconcile(const std::vector<Held>& held, const v1::HeartbeatResponse& reply);

}  // namespace allometry::agent
