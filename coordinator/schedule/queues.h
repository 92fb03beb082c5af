// The waiting runs in the order in which they are tried, by priority, sweep and need. Updated as
// runs come and go, so that a decision looks at the first run of each queue and not at every run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/need.h"

namespace allometry::schedule {

// Whether `a` is tried before `b` of its sweep and priority.
bool GoesFirst(const RunState& a, const RunState& b);

// A run in a queue of one priority, sweep and need. The key copies what GoesFirst compares.
struct QueuedRun {
  double duration = 0;
  double flops_remaining = 0;
  int64_t run_id = 0;
  const RunState* run = nullptr;
  bool operator<(const QueuedRun& other) const;
};
using RunQueue = std::set<QueuedRun>;

// A waiting gang, ordered by how long it has waited.
struct WaitingGang {
  int64_t waiting_since_ns = 0;
  int64_t run_id = 0;
  const RunState* run = nullptr;
  bool operator<(const WaitingGang& other) const;
};

// The slots that a sweep holds, and its id.
using ShareKey = std::pair<int64_t, int64_t>;

class Queues {
 public:
  // The queues of one need, each by its sweep.
  struct QueuesOfNeed {
    std::set<std::pair<double, int64_t>> by_longest;   // (-duration of its longest run, sweep_id)
    std::set<std::pair<double, int64_t>> by_shortest;  // (duration of its shortest run, sweep_id)
    std::map<ShareKey, const RunQueue*> by_share;
  };
  struct Level {
    std::map<int64_t, std::map<const Need*, RunQueue>> sweeps;  // by sweep_id
    std::map<const Need*, std::set<WaitingGang>> gangs;
    std::map<const Need*, QueuesOfNeed> needs;
  };

  // Borrows the run; what QueuedRun, WaitingGang and Need copy must not change until Remove.
  void Add(const RunState& run);
  void Remove(const RunState& run);
  // The sweep holds `slots` slots from now on; 0 before the first call.
  void SetShare(int64_t sweep_id, int64_t slots);

  int64_t ShareOf(int64_t sweep_id) const;

  // By priority, the largest first. None of the maps and lines in it is empty, but for gangs.
  const std::map<int32_t, Level, std::greater<>>& levels() const { return levels_; }
  // The one stored copy of a need.
  const Need* Interned(const Need& need);

 private:
  std::map<int32_t, Level, std::greater<>> levels_;
  std::map<int64_t, int64_t> shares_;  // of sweeps that hold slots
  std::set<Need> needs_;               // kept for good: there are few
};

}  // namespace allometry::schedule
