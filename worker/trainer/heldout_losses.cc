#include "worker/trainer/heldout_losses.h"

#include <algorithm>
#include <array>
#include <vector>

#include "models/codebook.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

// Of the windows read: how well their rewards are foreseen, onto `rewards`.
absl::Status DetectRewards(const run::RunSpec& spec, Batches& batches, const Learner& learner,
                           int64_t count, RewardDetection* rewards) {
  const int64_t context = spec.identity.shape.context;
  models::Batch batch = batches.Slice(0, count);
  std::vector<int32_t> targets(batch.targets.size(), models::kMasked);
  for (int64_t window = 0; window < count; ++window) {
    for (const int position : batches.objective().outcomes()) {
      targets[window * context + position] = batch.targets[window * context + position];
    }
  }
  batch.targets = targets;
  batch.device_targets = nullptr;
  batch.classes = batches.reward_classes();
  std::vector<double> losses(targets.size());
  ALLO_RETURN_IF_ERROR(learner.Losses(batch, losses));
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] != models::kMasked) rewards->Add(batch.classes[targets[i]] == 1, losses[i]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HeldoutLosses> MeasureHeldout(const run::RunSpec& spec, Batches& batches,
                                             const Learner& learner, comm::Collective& collective) {
  const models::Objective& objective = batches.objective();
  const int64_t windows = batches.heldout_windows();
  const int64_t context = spec.identity.shape.context;
  const int64_t group = batches.evaluation_group();
  // Of a group: its sum, its frames' sums, that of its outcomes, its members' sums.
  const int64_t frames = objective.frames();
  const auto members = static_cast<int64_t>(batches.members().size());
  const int64_t columns = 2 + frames + members;
  std::vector<double> sums(static_cast<size_t>((windows + group - 1) / group * columns), 0.0);
  std::vector<double> losses;
  HeldoutLosses heldout;
  std::vector<double> codes(
      spec.kind == run::RunKind::kTokenizer ? spec.identity.shape.vocabulary : 0, 0.0);
  for (int64_t i = 0; i * group < windows; ++i) {
    if (i % collective.world_size() != collective.rank()) continue;
    const int64_t first = i * group;
    const int64_t count = std::min(group, windows - first);
    ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kData, batches.ReadHeldout(first, count)));
    losses.resize(static_cast<size_t>(count * context));
    ALLO_RETURN_IF_ERROR(learner.Losses(batches.Slice(0, count), losses));
    if (!codes.empty()) {
      for (const int32_t code : learner.codes()) ++codes[code];
    }
    for (int64_t window = 0; window < count; ++window) {
      double* of_member = members == 0
                              ? nullptr
                              : &sums[i * columns + 2 + frames + batches.MemberOf(first + window)];
      for (const int position : objective.supervised()) {
        const double loss = losses[window * context + position];
        sums[i * columns] += loss;
        if (of_member != nullptr) *of_member += loss;
        if (frames > 0) sums[i * columns + 1 + objective.FrameOf(position)] += loss;
      }
      for (const int position : objective.outcomes()) {
        sums[i * columns + 1 + frames] += losses[window * context + position];
      }
    }
    if (!objective.outcomes().empty())
      ALLO_RETURN_IF_ERROR(DetectRewards(spec, batches, learner, count, &heldout.rewards));
  }
  // Exact: every sum has one rank that is not zero.
  ALLO_RETURN_IF_ERROR(collective.AllReduceSum(std::span<double>(sums)));
  std::vector<double> totals(columns, 0.0);
  for (size_t i = 0; i < sums.size(); ++i) totals[i % columns] += sums[i];
  if (!codes.empty()) {
    ALLO_RETURN_IF_ERROR(collective.AllReduceSum(std::span<double>(codes)));
    heldout.perplexity = models::Perplexity(codes);
  }
  if (!objective.outcomes().empty()) {
    heldout.outcome =
        totals[1 + frames] /
        static_cast<double>(windows * static_cast<int64_t>(objective.outcomes().size()));
    RewardDetection& rewards = heldout.rewards;
    std::array<double, 3> counts = {rewards.rewards, rewards.foreseen, rewards.claimed};
    ALLO_RETURN_IF_ERROR(collective.AllReduceSum(std::span<double>(counts)));
    rewards = {.rewards = counts[0], .foreseen = counts[1], .claimed = counts[2]};
  }
  const auto supervised = objective.supervised();
  heldout.loss = totals[0] / static_cast<double>(windows * static_cast<int64_t>(supervised.size()));
  std::vector<int64_t> windows_of(static_cast<size_t>(members), 0);
  for (int64_t window = 0; members > 0 && window < windows; ++window) {
    ++windows_of[batches.MemberOf(window)];
  }
  for (int64_t i = 0; i < members; ++i) {
    heldout.members.push_back(
        totals[2 + frames + i] /
        static_cast<double>(windows_of[i] * static_cast<int64_t>(supervised.size())));
  }
  for (int frame = 0; frame < frames; ++frame) {
    const int64_t positions =
        std::count_if(supervised.begin(), supervised.end(),
                      [&](int position) { return objective.FrameOf(position) == frame; });
    if (positions == 0) continue;
    heldout.frames.emplace_back(frame,
                                totals[1 + frame] / static_cast<double>(windows * positions));
  }
  return heldout;
}

}  // namespace allometry::trainer
