#include "worker/trainer/reward_gate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/outcome.h"
#include "models/train_step.h"
#include "worker/trainer/batches.h"

namespace allometry::trainer {
namespace {

constexpr double kLeastRecall = 0.3;
constexpr double kLeastPrecision = 0.5;
constexpr double kMostOfEntropy = 0.7;
constexpr int64_t kGroupTokens = 8192;

}  // namespace

bool RewardGate::passes() const {
  const bool foresees = rewards.Recall().value_or(0) >= kLeastRecall &&
                        rewards.Precision().value_or(0) >= kLeastPrecision;
  return foresees || outcome_loss < kMostOfEntropy * marginal_entropy;
}

std::string RewardGate::Text() const {
  return absl::StrFormat(
      "of %.0f rewards in held-out windows it foresees %.2f (asked for is %g), of those that it "
      "foresees %.2f are there (%g), and its loss of outcomes is %.4f nats, where their entropy is "
      "%.4f (below %.4f is asked for instead)",
      rewards.rewards, rewards.Recall().value_or(0), kLeastRecall, rewards.Precision().value_or(0),
      kLeastPrecision, outcome_loss, marginal_entropy, kMostOfEntropy * marginal_entropy);
}

absl::StatusOr<RewardGate> MeasureRewards(const ModelFile& model,
                                          const data::WindowSources& sources,
                                          const std::string& step_backend) {
  const models::Shape& shape = model.identity.shape;
  const auto context = static_cast<size_t>(shape.context);
  const data::Frames& frames = *sources.manifest.frames;
  const data::VocabularySegment outcome = data::SegmentsAfterObservation(sources.manifest).back();
  std::string chosen;
  ALLO_ASSIGN_OR_RETURN(const auto step,
                        models::CreateTrainStep(step_backend, shape, model.layout, {}, &chosen));
  const std::vector<uint8_t> classes = RewardClasses(shape, sources.manifest);
  RewardGate gate;
  std::array<double, data::kOutcomes> counts = {};
  double total = 0;
  const int64_t group = std::max<int64_t>(1, kGroupTokens / shape.context);
  for (int64_t first = 0; first < sources.heldout_count; first += group) {
    const int64_t count = std::min(group, sources.heldout_count - first);
    std::vector<int32_t> inputs(static_cast<size_t>(count) * context), targets(inputs.size());
    ALLO_RETURN_IF_ERROR(sources.heldout->Fill(first, count, inputs, targets));
    const auto frame = static_cast<size_t>(frames.tokens_per_frame());
    for (size_t i = 0; i < targets.size(); ++i) {
      // The outcome is the last token of its frame.
      const bool is_outcome = (i % context + 2) % frame == 0;
      if (!is_outcome) targets[i] = models::kMasked;
    }
    models::Batch batch = {count, shape.context, inputs, targets};
    std::vector<double> losses(targets.size());
    ALLO_RETURN_IF_ERROR(step->Losses(model.parameters, batch, losses));
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] == models::kMasked) continue;
      gate.outcome_loss += losses[i];
      counts[static_cast<size_t>(targets[i] - outcome.begin)] += 1;
      total += 1;
    }
    batch.classes = classes;
    ALLO_RETURN_IF_ERROR(step->Losses(model.parameters, batch, losses));
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] == models::kMasked) continue;
      gate.rewards.Add(classes[static_cast<size_t>(targets[i])] == 1, losses[i]);
    }
  }
  gate.outcome_loss /= total;
  for (const double n : counts) {
    if (n > 0) gate.marginal_entropy -= n / total * std::log(n / total);
  }
  return gate;
}

}  // namespace allometry::trainer
