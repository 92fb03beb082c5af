#include "models/objective.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/split_mix.h"

namespace allometry::models {
namespace {

constexpr ObjectiveRow kObjectives[] = {
    {"dense", "every next token", false, false},
    {"sparse", "the token after the window", false, false},
    {"super", "the class, of two, of the token after the window", false, true},
    {"observation", "the observation tokens of each frame: a world model", true, false},
    {"action", "the action tokens of each frame: behaviour cloning", true, false},
    {"world", "the observation tokens of each frame and, beside them, the outcomes of actions",
     true, false},
};

enum class Part { kObservation, kAction, kOutcome };

// Which part of a frame the successor of a position is in.
Part PartAfter(int position, const FrameTokens& frame) {
  const int place = (position + 1) % frame.total();
  if (place < frame.observation) return Part::kObservation;
  return place < frame.observation + frame.action ? Part::kAction : Part::kOutcome;
}

absl::Status CheckFrames(absl::string_view name, int context, const FrameTokens& frame) {
  if (frame.observation < 1 || frame.action < 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "objective %s needs a dataset of frames: this one has no tokens of observations", name));
  }
  if (name == "action" && frame.action == 0) {
    return absl::InvalidArgumentError(
        "objective action needs a dataset with actions: the frames of this one have none");
  }
  if (name == "world" && frame.outcome == 0) {
    return absl::InvalidArgumentError(
        "objective world needs a dataset whose frames have an outcome token: the frames of this "
        "one "
        "have none");
  }
  if (context % frame.total() != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "context %d is not a number of whole frames of %d tokens (%d of the observation, %d of the "
        "action%s)",
        context, frame.total(), frame.observation, frame.action,
        frame.outcome > 0 ? ", 1 of the outcome" : ""));
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const ObjectiveRow> Objectives() { return kObjectives; }

absl::StatusOr<ObjectiveRow> FindObjective(absl::string_view name) {
  if (name.empty()) return kObjectives[0];
  for (const ObjectiveRow& row : kObjectives) {
    if (name == row.name) return row;
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "objective '%s' is not known: allowed are %s", name,
      absl::StrJoin(kObjectives, ", ",
                    [](std::string* out, const ObjectiveRow& row) { out->append(row.name); })));
}

absl::StatusOr<Objective> Objective::Create(absl::string_view name, int64_t seed, int vocabulary,
                                            int context, const FrameTokens& frame) {
  ALLO_ASSIGN_OR_RETURN(const ObjectiveRow row, FindObjective(name));
  const absl::string_view known = row.name;
  const bool has_frames = frame.total() > 0;
  if (row.needs_frames) ALLO_RETURN_IF_ERROR(CheckFrames(known, context, frame));
  if (has_frames && !row.needs_frames && known != "dense") {
    return absl::InvalidArgumentError(absl::StrFormat(
        "objective %s needs the token after a window, and a window of frames ends with its last "
        "frame: allowed are dense, observation, action and world",
        known));
  }
  Objective objective;
  objective.context_ = context;
  objective.counts_.resize(context);
  if (row.needs_frames) {
    objective.frame_tokens_ = frame.total();
    objective.frames_ = context / frame.total();
  }
  const Part part = known == "action" ? Part::kAction : Part::kObservation;
  for (int i = 0; i < context; ++i) {
    const bool is_last = i + 1 == context;
    objective.counts_[i] = row.needs_frames   ? !is_last && PartAfter(i, frame) == part
                           : known == "dense" ? !(has_frames && is_last)
                                              : is_last;
    if (objective.counts_[i]) objective.supervised_.push_back(i);
  }
  if (objective.supervised_.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "objective %s has nothing to predict in windows of %d tokens", known, context));
  }
  if (known == "world") objective.AddOutcomes(frame);
  if (known == "super") objective.classes_ = BalancedClasses(vocabulary, seed);
  return objective;
}

void Objective::AddOutcomes(const FrameTokens& frame) {
  // The last token of a window is the outcome of its last frame.
  for (int i = 0; i + 1 < context_; ++i) {
    if (PartAfter(i, frame) == Part::kOutcome) outcomes_.push_back(i);
  }
  weights_.assign(context_, 0.0f);
  for (const std::vector<int>* part : {&supervised_, &outcomes_}) {
    for (const int position : *part) {
      weights_[position] = 1.0f / static_cast<float>(part->size());
      counts_[position] = true;
    }
  }
}

Objective Objective::OfFrames(int context) {
  Objective objective;
  objective.context_ = context;
  objective.frames_ = context;
  objective.frame_tokens_ = 1;
  objective.shift_ = 0;
  objective.counts_.assign(context, true);
  objective.supervised_.resize(context);
  std::iota(objective.supervised_.begin(), objective.supervised_.end(), 0);
  return objective;
}

Objective Objective::OfImages(int context) {
  Objective objective;
  objective.context_ = context;
  objective.counts_.assign(context, false);
  objective.counts_[0] = true;
  objective.supervised_ = {0};
  return objective;
}

void Objective::Mask(std::span<int32_t> targets) const {
  ALLO_CHECK(targets.size() % context_ == 0) << targets.size() << " of windows of " << context_;
  if (static_cast<int>(supervised_.size()) == context_) return;  // every position counts
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!counts_[i % context_]) targets[i] = kMasked;
  }
}

std::vector<uint8_t> BalancedClasses(int vocabulary, int64_t seed) {
  std::vector<int> order(vocabulary);
  std::iota(order.begin(), order.end(), 0);
  const uint64_t key = SplitMix(static_cast<uint64_t>(seed));
  for (int i = vocabulary - 1; i > 0; --i) {
    // The bias of the remainder is below 2^-40 for any vocabulary that fits in memory.
    const uint64_t j = SplitMix(key + static_cast<uint64_t>(i)) % static_cast<uint64_t>(i + 1);
    std::swap(order[i], order[j]);
  }
  std::vector<uint8_t> classes(vocabulary, 0);
  for (int i = 0; i < vocabulary / 2; ++i) classes[order[i]] = 1;
  return classes;
}

double ClassEntropy(std::span<const uint8_t> classes, std::span<const int64_t> counts) {
  ALLO_CHECK(counts.size() <= classes.size()) << counts.size() << " of " << classes.size();
  double ones = 0, total = 0;
  for (size_t id = 0; id < counts.size(); ++id) {
    total += static_cast<double>(counts[id]);
    if (classes[id] == 1) ones += static_cast<double>(counts[id]);
  }
  double entropy = 0;
  for (const double share : {ones / total, 1 - ones / total}) {
    if (share > 0) entropy -= share * std::log(share);
  }
  return entropy;
}

}  // namespace allometry::models
