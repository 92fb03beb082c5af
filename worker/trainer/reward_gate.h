// Whether a world model is worth to be acted in, told before a policy is trained: on held-out
// windows it foresees rewards (recall 0.3 or more at a precision of 0.5 or more), or its loss of
// outcomes is below 0.7 of the entropy of how often they occur. A policy that is trained in a model
// without either exploits what the model does not know.
#pragma once

#include <string>

#include "base/status.h"
#include "data/window_source.h"
#include "worker/trainer/model_file.h"
#include "worker/trainer/reward_detection.h"

namespace allometry::trainer {

struct RewardGate {
  RewardDetection rewards;
  double outcome_loss = 0;      // nats, the mean over held-out outcomes
  double marginal_entropy = 0;  // nats, of the held-out outcomes

  bool passes() const;
  // "recall 0.12 (0.3 or more is asked for) at precision 0.4 (0.5), outcome loss 0.2 nats (...)".
  std::string Text() const;
};

absl::StatusOr<RewardGate> MeasureRewards(const ModelFile& model,
                                          const data::WindowSources& sources,
                                          const std::string& step_backend);

}  // namespace allometry::trainer
