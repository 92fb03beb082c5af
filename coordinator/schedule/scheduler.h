// The state that decisions read, with the indices that make a decision fast: slots by what fits
// (capacity_index.h) and waiting runs in their order (queues.h). Both are updated with each change.
// A decision costs time for each run that it starts and each queue that waits, and one look at
// every pool if a gang waits or a run asks others to stop. It never looks at every run.
//
// In whatever order the changes came, Scheduler::Decide gives what Decide() gives for the same
// state. A plain value without a lock.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "coordinator/schedule/capacity_index.h"
#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/exact_sum.h"
#include "coordinator/schedule/queues.h"
#include "coordinator/schedule/scheduling_pass.h"

namespace allometry::schedule {

class Scheduler {
 public:
  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Adds the run, or replaces it.
  void PutRun(RunState run);
  void RemoveRun(int64_t run_id);
  // Changes a run that is there, in place. Its id must not change.
  void ChangeRun(int64_t run_id, absl::FunctionRef<void(RunState&)> change);
  // Changes only these two; cheap for a LEASED run.
  void SetRemaining(int64_t run_id, double flops_remaining, double duration);

  void PutAgent(AgentState agent);
  void RemoveAgent(const std::string& agent_id);
  void ChangeAgent(const std::string& agent_id, absl::FunctionRef<void(AgentState&)> change);

  const ClusterState& state() const { return state_; }

  // Changes only what WhyItWaits reports.
  Decision Decide(int64_t now_ns, const Options& options = {});

  // Why a run that is not LEASED waits, as things are now. Slots held for a gang are those of the
  // last decision.
  std::string WhyItWaits(int64_t run_id) const;

 private:
  void Insert(const RunState& run);
  void Extract(const RunState& run);
  void CountWork(const RunState& run, int sign);

  ClusterState state_;
  CapacityIndex capacity_;
  Queues queues_;
  std::map<std::string, std::set<int64_t>> held_by_;  // agent_id -> LEASED runs
  std::map<int64_t, int64_t> shares_;                 // sweep_id -> slots that it holds
  LeasedStarts leased_;
  OpenWork open_work_;
  int stopping_ = 0;                             // LEASED runs asked to stop
  int64_t held_for_ = 0;                         // the gang of the last reservation; 0: none
  mutable std::map<Need, std::string> reasons_;  // until something changes
};

}  // namespace allometry::schedule
