#include "worker/trainer/clone_player.h"

#include <string>

#include "data/outcome.h"

namespace allometry::trainer {
namespace {

models::Segment SegmentNamed(const data::Manifest& manifest, const std::string& name) {
  const auto segment = data::FindSegment(manifest, name);
  if (!segment) return {};
  return {static_cast<int32_t>(segment->begin), static_cast<int32_t>(segment->end)};
}

}  // namespace

ClonePlayer::ClonePlayer(models::Decoder& decoder, std::span<const float> parameters,
                         const data::Manifest& manifest, int64_t context, uint64_t seed)
    : decoder_(decoder, static_cast<int>(manifest.frames->tokens_per_frame()),
               static_cast<int>(context / manifest.frames->tokens_per_frame())),
      parameters_(parameters),
      actions_(SegmentNamed(manifest, "action:0")),
      outcomes_(SegmentNamed(manifest, "outcome")),
      tokens_(manifest.frames->tokens_per_observation),
      seed_(seed) {}

absl::Status ClonePlayer::Act(int64_t first, const Moment& now, std::span<uint8_t> actions) {
  const size_t rows = actions.size();
  std::vector<int32_t> column(rows);
  if (now.time == 0) {
    ALLO_RETURN_IF_ERROR(decoder_.Begin(parameters_, static_cast<int>(rows)));
  } else if (outcomes_.size() > 0) {
    for (size_t row = 0; row < rows; ++row) {
      const bool ended = (now.flags[row] & (environments::kEnded | environments::kCutOff)) != 0;
      column[row] = outcomes_.begin + data::OutcomeOf(now.rewards[row], ended);
    }
    ALLO_RETURN_IF_ERROR(decoder_.Append(column, 1));
  }
  ALLO_RETURN_IF_ERROR(decoder_.Append(now.tokens, static_cast<int>(tokens_)));
  const auto size = static_cast<size_t>(actions_.size());
  logits_.resize(rows * size);
  ALLO_RETURN_IF_ERROR(decoder_.Logits(actions_, logits_));
  for (size_t row = 0; row < rows; ++row) {
    const double u =
        models::Uniform(seed_, static_cast<uint64_t>(first) + row, static_cast<uint64_t>(now.time));
    const int action = models::SampleToken(std::span(logits_).subspan(row * size, size), u);
    actions[row] = static_cast<uint8_t>(action);
    column[row] = actions_.begin + action;
  }
  return decoder_.Append(column, 1);
}

}  // namespace allometry::trainer
