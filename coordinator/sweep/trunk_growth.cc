#include "coordinator/sweep/trunk_growth.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/schedule.h"
#include "proto/run_choices.h"

namespace allometry::sweep {

std::vector<int64_t> GrownCheckpointSteps(const v1::Run& trunk, const v1::RunSpec& wanted) {
  const v1::RunSpec& spec = trunk.spec();
  const int64_t passed = trunk.state() == v1::LEASED ? spec.steps() : trunk.step();
  std::set<int64_t> steps(spec.checkpoint_steps().begin(), spec.checkpoint_steps().end());
  for (const int64_t step : wanted.checkpoint_steps()) {
    if (step > passed) steps.insert(step);
  }
  return {steps.begin(), steps.end()};
}

int64_t BranchStart(const v1::Run& trunk, absl::Span<const int64_t> asked,
                    absl::Span<const int64_t> there, int64_t decay_begin) {
  int64_t start = 0;
  for (const int64_t step : asked) {
    if (step > trunk.step() && step <= decay_begin) start = std::max(start, step);
  }
  for (const int64_t step : there) {
    if (step <= decay_begin) start = std::max(start, step);
  }
  return start;
}

std::string BranchText(const v1::RunSpec& branch) {
  const v1::RunIdentity& identity = branch.identity();
  std::string text = absl::StrFormat("falling from step %d to step %d", identity.decay_begin(),
                                     identity.decay_end());
  const v1::RunInput* trunk = TrunkOf(branch);
  if (trunk == nullptr || trunk->step() == identity.decay_begin()) return text;
  return absl::StrFormat(
      "%s; its trunk is past step %d without a checkpoint there, so it trains from step %d on: "
      "%d steps more",
      text, identity.decay_begin(), trunk->step(), identity.decay_begin() - trunk->step());
}

}  // namespace allometry::sweep
