#include "worker/trainer/read_steps.h"

#include <algorithm>

namespace allometry::trainer {

bool ReadsAfter(const run::RunSpec& spec, int64_t step) {
  if (spec.device == run::DeviceKind::kCpu) return true;
  const auto in = [step](const std::vector<int64_t>& steps) {
    return std::binary_search(steps.begin(), steps.end(), step);
  };
  return step % spec.log_every == 0 || step % kLongestUnread == 0 || step == spec.steps ||
         in(spec.evaluation_steps) || in(spec.checkpoint_steps);
}

}  // namespace allometry::trainer
