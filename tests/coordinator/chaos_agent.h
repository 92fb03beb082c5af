// An agent and its trainers in virtual time, behind a network that drops, delays, repeats and
// reorders its messages. For protocol_chaos_test.cc, where one thread plays all of them, and
// dispatch_test.cc, where each has a thread and a network.
//
// It does what worker/agent does: one call at a time, answers of earlier ones are not taken; it
// holds what the newest answer says and nothing else; trainers live by the deadline of their lease,
// counted from when its renewal was asked for; a spool is sent from its first unacknowledged record
// on. Records are made from (run, step) alone, so that any mistake in their delivery shows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "proto/worker.pb.h"
#include "tests/testing/fake_clock.h"

namespace allometry::testing {

// What training gives at a step: the same for every attempt of a run.
double LossAt(int64_t run_id, int64_t step);

// Messages under way, in steps of virtual time.
class UnreliableNetwork {
 public:
  explicit UnreliableNetwork(std::mt19937_64& random) : random_(random) {}

  // Calls `deliver` later: never, once or twice.
  void Send(std::function<void()> deliver);
  // The next step: delivers what is due.
  void Step();
  // From now on everything arrives, once and at once.
  void Repair() { reliable_ = true; }

 private:
  int64_t Delay();

  std::mt19937_64& random_;
  std::multimap<int64_t, std::function<void()>> under_way_;
  int64_t now_ = 0;
  bool reliable_ = false;
};

// The coordinator as an agent sees it; calls are answered at once, when their request arrives.
struct CoordinatorCalls {
  std::function<absl::StatusOr<v1::RegisterResponse>(const v1::RegisterRequest&)> enroll;
  std::function<absl::StatusOr<v1::HeartbeatResponse>(const v1::HeartbeatRequest&)> heartbeat;
  std::function<absl::StatusOr<v1::RecordAck>(const v1::RecordBatch&)> append;
};

class ChaosAgent {
 public:
  // `calls`, `network`, `clock` and `random` outlive it.
  ChaosAgent(std::string name, int slots, v1::Dataset dataset, const CoordinatorCalls& calls,
             UnreliableNetwork& network, const FakeClock& clock, std::mt19937_64& random);

  // One step: trainers train, spools are sent, calls are made.
  void Step();
  // SIGKILL and a new life: trainers end, what was held is given back.
  void Crash();

  // Runs that a trainer of this agent works on within its lease.
  std::vector<int64_t> Running() const;
  int64_t refused() const { return refused_; }  // batches of zombies
  // Replies that gave one device to two attempts.
  int devices_given_twice() const { return devices_given_twice_; }

 private:
  struct Held {
    v1::Hold hold;
    std::vector<v1::Record> spool;
    uint64_t acked = 0;
    int64_t step = 0;
    int64_t deadline_ns = 0;
    bool ended = false;
  };

  void Call();
  void OnRegistered(int64_t call, const absl::StatusOr<v1::RegisterResponse>& response);
  void OnHeartbeat(int64_t call, int64_t asked_ns,
                   const absl::StatusOr<v1::HeartbeatResponse>& response);
  void Take(const v1::Hold& hold, int64_t asked_ns);
  bool DevicesAreFree(const v1::Hold& hold) const;
  void Train(Held& held);
  void End(Held& held, v1::ExitReason reason);
  v1::Record& AddRecord(Held& held);
  void SendSpool(const Held& held);
  void OnAck(const std::string& token, const absl::StatusOr<v1::RecordAck>& ack);
  bool Chance(unsigned one_in) { return random_() % one_in == 0; }

  const std::string name_;
  std::vector<v1::Slot> slots_;
  const v1::Dataset dataset_;
  const CoordinatorCalls& calls_;
  UnreliableNetwork& network_;
  const FakeClock& clock_;
  std::mt19937_64& random_;

  bool registered_ = false;
  int64_t call_ = 0;                  // the newest
  bool in_flight_ = false;            // its answer has not come
  int64_t call_until_ = 0;            // the step at which it is given up
  int64_t now_ = 0;                   // steps
  std::map<std::string, Held> held_;  // by token
  std::vector<v1::GivenBack> given_back_;
  int64_t refused_ = 0;
  int devices_given_twice_ = 0;
};

}  // namespace allometry::testing
