// The held-out loss of a model in training, and what else its evaluation tells (training.h).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "run/run_spec.h"
#include "worker/comm/collective.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/reward_detection.h"

namespace allometry::trainer {

struct HeldoutLosses {
  double loss = 0;                             // nats
  std::vector<std::pair<int, double>> frames;  // from 0; those with a supervised position
  double perplexity = 0;                       // of a tokenizer's codes
  std::vector<double> members;                 // of a union, that of each member's windows
  std::optional<double> outcome;               // the mean loss of outcomes
  RewardDetection rewards;
};

// Together with all ranks: over all held-out windows of the run.
absl::StatusOr<HeldoutLosses> MeasureHeldout(const run::RunSpec& spec, Batches& batches,
                                             const Learner& learner, comm::Collective& collective);

}  // namespace allometry::trainer
