// The slots of the live workers during one decision: who uses each, and which are held for a gang.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/scheduler/cluster_state.h"

namespace allometry::scheduler {

class Slots {
 public:
  static constexpr int64_t kFree = 0;

  struct Worker {
    const AgentState* agent = nullptr;
    std::vector<std::string> kinds;  // of each slot: "cpu"
    std::vector<int64_t> users;      // of each slot: the run that uses it, or kFree
    std::vector<bool> held;          // of each slot: for the reservation
  };

  // The slots that a gang waits for.
  struct Reservation {
    int64_t run_id = 0;
    const Worker* worker = nullptr;
    double ready = 0;       // until the last of them comes free, in RunState::duration's unit
    int64_t last_user = 0;  // the run that ends last
    bool backfill = true;   // shorter runs may use them meanwhile
  };

  // Slots of live workers; those of LEASED runs are in use. `state` outlives this.
  explicit Slots(const ClusterState& state);

  // Whether the worker could ever run it: its data, and slots of its kind enough.
  static bool HasData(const Worker& worker, const RunState& run);
  static int Count(const Worker& worker, const RunState& run);
  bool CouldRun(const Worker& worker, const RunState& run) const {
    return HasData(worker, run) && Count(worker, run) >= run.ranks;
  }
  static int CountFree(const Worker& worker, const RunState& run);

  // Takes slots for the run where it can start now, in the order that decide.h says; unset:
  // nowhere.
  struct Taken {
    std::string agent_id;
    std::vector<v1::Slot> slots;
  };
  std::optional<Taken> Take(const RunState& run);

  // Holds the slots that come free soonest for the run; false when no worker could ever run it.
  bool Reserve(const RunState& run, bool backfill);

  // The run's slots on this worker that come free soonest, and the last one's user and time.
  Reservation Soonest(const Worker& worker, const RunState& run) const;

  const std::vector<Worker>& workers() const { return workers_; }
  const std::optional<Reservation>& reservation() const { return reservation_; }
  // A live worker that gets no runs; nullptr: none.
  const AgentState* drained() const { return drained_; }
  int free() const { return free_; }

 private:
  // Places of the worker's slots that the run may take now, those not held first.
  std::vector<size_t> Usable(const Worker& worker, const RunState& run) const;
  // Places of slots of its kind with the time until each is free, soonest first.
  std::vector<std::pair<double, size_t>> ByTime(const Worker& worker, const RunState& run) const;

  const ClusterState& state_;
  std::vector<Worker> workers_;  // by agent_id
  std::optional<Reservation> reservation_;
  const AgentState* drained_ = nullptr;
  int free_ = 0;
};

}  // namespace allometry::scheduler
