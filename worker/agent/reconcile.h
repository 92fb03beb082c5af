// What an agent does on a heartbeat's reply: a pure function of the attempts that it holds and
// those that it should hold.
//
// Both lists are complete, so a lost, repeated or late message needs no case of its own. The caller
// makes one heartbeat at a time, so every attempt that it holds when the reply comes, it held or
// had begun when it sent the heartbeat.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "proto/worker.pb.h"
#include "worker/agent/slots.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

// An attempt that the agent has.
struct Held {
  Lease lease;
  std::vector<HostDevice> devices;
  bool running = false;  // a process of it lives
  bool dropped = false;  // being ended and forgotten; not in the heartbeat's list
  bool told_preempt = false;
  bool told_cancel = false;
  // The time it was given when told; the agent's own patience counts as no end.
  int64_t told_within_ms = std::numeric_limits<int64_t>::max();
};

struct Renewal {
  Lease lease;
  int64_t lease_ms = 0;
  bool operator==(const Renewal&) const = default;
};

struct Stop {
  Lease lease;
  int64_t within_ms = 0;  // 0: the agent's own patience
  bool operator==(const Stop&) const = default;
};

struct Actions {
  std::vector<v1::Hold> start;
  std::vector<Renewal> renew;
  std::vector<Stop> preempt;  // told once, and again when the time got shorter
  std::vector<Stop> cancel;   // likewise; also after preempt
  std::vector<Lease> drop;
};

// A new attempt waits for a later reply while an attempt that is being ended still runs on one of
// its devices, or is of the same run. A hold without a spec that the agent does not have belongs to
// an attempt that ended between request and reply: nothing to do.
Actions Reconcile(const std::vector<Held>& held, const v1::HeartbeatResponse& reply);

}  // namespace allometry::agent
