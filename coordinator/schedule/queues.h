// The waiting runs in the order in which they are tried: by priority, sweep and need. Changed as
// runs come and go, so that a decision looks at the first of each line and not at every run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/need.h"

namespace allometry::schedule {

// Whether `a` is tried before `b` of its sweep and priority.
bool GoesFirst(const RunState& a, const RunState& b);

// Runs of one priority, sweep and need. Keyed by copies of what GoesFirst compares.
struct InLine {
  double duration = 0;
  double flops_remaining = 0;
  int64_t run_id = 0;
  const RunState* run = nullptr;
  bool operator<(const InLine& other) const;
};
using Line = std::set<InLine>;

// A gang by the time of its waiting.
struct Aged {
  int64_t waiting_since_ns = 0;
  int64_t run_id = 0;
  const RunState* run = nullptr;
  bool operator<(const Aged& other) const;
};

class Queues {
 public:
  struct Level {
    std::map<int64_t, std::map<const Need*, Line>> sweeps;  // by sweep_id
    std::map<const Need*, std::set<Aged>> gangs;
  };

  // Borrows the run; what InLine, Aged and Need copy must not change until Remove.
  void Add(const RunState& run);
  void Remove(const RunState& run);

  // By priority, the largest first. None of the maps and lines in it is empty, but for gangs.
  const std::map<int32_t, Level, std::greater<>>& levels() const { return levels_; }
  // The one that stands for all equal ones.
  const Need* Interned(const Need& need);

 private:
  std::map<int32_t, Level, std::greater<>> levels_;
  std::set<Need> needs_;  // kept for good: there are few
};

}  // namespace allometry::schedule
