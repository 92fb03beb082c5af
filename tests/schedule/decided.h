// A decision as tests look at it: made from scratch, compared with the plain oracle, and with the
// reasons that follow once its assignments are made.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/scheduler.h"
#include "gtest/gtest.h"
#include "tests/schedule/plain_decide.h"

namespace allometry::schedule {

// "1@a:0,1": run 1 starts on slots 0 and 1 of worker a.
inline std::string Text(const Assignment& assignment) {
  std::string text = absl::StrCat(assignment.run_id, "@", assignment.agent_id);
  char separator = ':';
  for (const v1::Slot& slot : assignment.slots) {
    text += separator + slot.device().substr(slot.device().find(':') + 1);
    separator = ',';
  }
  return text;
}

// Everything that it says.
inline std::string Text(const Decision& decision) {
  std::string text;
  for (const Assignment& assignment : decision.assignments) {
    absl::StrAppend(&text, Text(assignment), " ", assignment.reason, "\n");
  }
  for (const Preemption& preemption : decision.preemptions) {
    absl::StrAppend(&text, "stop ", preemption.run_id, ": ", preemption.reason, "\n");
  }
  return text;
}

class Decided {
 public:
  explicit Decided(const ClusterState& state, int64_t now_ns, const Options& options = {}) {
    for (const auto& [agent_id, agent] : state.agents) scheduler_.PutAgent(agent);
    for (const auto& [run_id, run] : state.runs) scheduler_.PutRun(run);
    decision_ = scheduler_.Decide(now_ns, options);
    EXPECT_EQ(Text(decision_), Text(PlainDecide(state, now_ns, options)));
    EXPECT_EQ(Text(decision_), Text(scheduler_.Decide(now_ns, options))) << "it left a trace";
    for (const Assignment& start : decision_.assignments) {
      scheduler_.ChangeRun(start.run_id, [&](RunState& run) {
        run.placement = {1, start.agent_id, start.slots};
      });
    }
    for (const auto& [run_id, run] : scheduler_.state().runs) {
      if (!run.placement.has_value()) reasons_[run_id] = scheduler_.WhyItWaits(run_id);
    }
  }

  std::vector<std::string> Starts() const {
    std::vector<std::string> starts;
    for (const Assignment& assignment : decision_.assignments) starts.push_back(Text(assignment));
    return starts;
  }
  std::vector<int64_t> Stops() const {
    std::vector<int64_t> stops;
    for (const Preemption& preemption : decision_.preemptions) stops.push_back(preemption.run_id);
    return stops;
  }
  std::string ReasonOf(int64_t run_id) const {
    const auto reason = reasons_.find(run_id);
    return reason == reasons_.end() ? "does not wait" : reason->second;
  }
  // Of every run that still waits.
  const std::map<int64_t, std::string>& reasons() const { return reasons_; }
  const Decision& decision() const { return decision_; }

 private:
  Scheduler scheduler_;
  Decision decision_;
  std::map<int64_t, std::string> reasons_;
};

}  // namespace allometry::schedule
