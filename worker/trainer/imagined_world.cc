#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/split_mix.h"
#include "data/outcome.h"
#include "models/decode.h"
#include "worker/trainer/agent_world.h"

namespace allometry::trainer {
namespace {

// Keys of what is drawn. Part of a run's numbers: do not change.
enum Draw : uint64_t { kStart = 0x7374617274, kToken = 0x746f6b656e };

models::Segment SegmentNamed(const data::Manifest& manifest, const std::string& name) {
  const auto segment = data::FindSegment(manifest, name);
  if (!segment) return {};
  return {static_cast<int32_t>(segment->begin), static_cast<int32_t>(segment->end)};
}

class ImaginedWorld final : public AgentWorld {
 public:
  ImaginedWorld(std::unique_ptr<models::Decoder> decoder, const ModelFile& model,
                const data::WindowSources& sources, const StartOptions& options)
      : decoder_(std::move(decoder)),
        model_(model),
        source_(*sources.train),
        frames_(*sources.manifest.frames),
        observation_(SegmentNamed(sources.manifest, "observation")),
        action_(SegmentNamed(sources.manifest, "action:0")),
        outcome_(SegmentNamed(sources.manifest, "outcome")),
        options_(options),
        window_frames_(model.identity.shape.context / frames_.tokens_per_frame()),
        capacity_(
            static_cast<int>((options.burn - 1 + options.horizon) * frames_.tokens_per_frame() +
                             frames_.tokens_per_observation)) {}

  absl::Status Begin(int64_t update, std::span<int32_t> observations) override {
    const auto context = static_cast<size_t>(model_.identity.shape.context);
    const auto frame = static_cast<size_t>(frames_.tokens_per_frame());
    const auto width = static_cast<size_t>(frames_.tokens_per_observation);
    const auto rows = static_cast<size_t>(options_.rows);
    first_row_ = (update - 1) * options_.rows;
    std::vector<int32_t> windows(rows * context), targets(windows.size());
    ALLO_RETURN_IF_ERROR(source_.Fill(first_row_, options_.rows, windows, targets));
    const size_t prompt = (static_cast<size_t>(options_.burn) - 1) * frame + width;
    std::vector<int32_t> prompts;
    prompts.reserve(rows * prompt);
    for (size_t row = 0; row < rows; ++row) {
      const double u = models::Uniform(Key(kStart), RowNumber(row), 0);
      const auto begin =
          static_cast<size_t>(u * static_cast<double>(window_frames_ - options_.burn + 1));
      const auto from = windows.begin() + static_cast<ptrdiff_t>(row * context + begin * frame);
      prompts.insert(prompts.end(), from, from + static_cast<ptrdiff_t>(prompt));
      std::copy(prompts.end() - static_cast<ptrdiff_t>(width), prompts.end(),
                observations.begin() + static_cast<ptrdiff_t>(row * width));
    }
    ALLO_RETURN_IF_ERROR(decoder_->Begin(model_.parameters, static_cast<int>(rows), capacity_));
    return decoder_->Append(prompts, static_cast<int>(prompt));
  }

  absl::Status Step(std::span<const uint8_t> actions, std::span<double> rewards,
                    std::span<uint8_t> ends, std::span<int32_t> observations) override {
    const auto rows = static_cast<size_t>(options_.rows);
    std::vector<int32_t> tokens(rows);
    for (size_t row = 0; row < rows; ++row) tokens[row] = action_.begin + actions[row];
    ALLO_RETURN_IF_ERROR(decoder_->Append(tokens, 1));
    ALLO_RETURN_IF_ERROR(Sample(outcome_, tokens));
    for (size_t row = 0; row < rows; ++row) {
      const int outcome = tokens[row] - outcome_.begin;
      rewards[row] = data::RewardOf(outcome);
      ends[row] = data::IsEnd(outcome) ? 1 : 0;
    }
    ALLO_RETURN_IF_ERROR(decoder_->Append(tokens, 1));
    const auto width = static_cast<size_t>(frames_.tokens_per_observation);
    for (size_t i = 0; i < width; ++i) {
      ALLO_RETURN_IF_ERROR(Sample(observation_, tokens));
      ALLO_RETURN_IF_ERROR(decoder_->Append(tokens, 1));
      for (size_t row = 0; row < rows; ++row) observations[row * width + i] = tokens[row];
    }
    return absl::OkStatus();
  }

 private:
  uint64_t Key(Draw draw) const { return SplitMix(static_cast<uint64_t>(options_.seed) ^ draw); }
  uint64_t RowNumber(size_t row) const { return static_cast<uint64_t>(first_row_) + row; }

  // The next token of every row, of the segment.
  absl::Status Sample(models::Segment segment, std::span<int32_t> tokens) {
    const auto size = static_cast<size_t>(segment.size());
    logits_.resize(tokens.size() * size);
    ALLO_RETURN_IF_ERROR(decoder_->Logits(segment, logits_));
    const auto position = static_cast<uint64_t>(decoder_->length());
    for (size_t row = 0; row < tokens.size(); ++row) {
      const double u = models::Uniform(Key(kToken), RowNumber(row), position);
      tokens[row] =
          segment.begin + models::SampleToken(std::span(logits_).subspan(row * size, size), u);
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<models::Decoder> decoder_;
  const ModelFile& model_;
  const data::WindowSource& source_;
  const data::Frames frames_;
  const models::Segment observation_, action_, outcome_;
  const StartOptions options_;
  const int64_t window_frames_;
  const int capacity_;
  int64_t first_row_ = 0;  // of the update, among those of all updates
  std::vector<float> logits_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AgentWorld>> CreateImaginedWorld(const ModelFile& model,
                                                                const data::WindowSources& sources,
                                                                const StartOptions& options) {
  const data::Frames& frames = *sources.manifest.frames;
  if (frames.tokens_per_action != 1 || frames.tokens_per_outcome != 1) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "dataset %s has frames of %d action tokens and %d of the outcome: a policy in imagination "
        "needs one of each",
        sources.manifest.name, frames.tokens_per_action, frames.tokens_per_outcome));
  }
  const int64_t most = model.identity.shape.context / frames.tokens_per_frame();
  if (options.burn < 1 || options.burn + options.horizon > most) {
    return absl::FailedPreconditionError(
        absl::StrFormat("a burn-in of %d frames and a horizon of %d: allowed are 1 or more and "
                        "together the %d frames of the model's window",
                        options.burn, options.horizon, most));
  }
  ALLO_ASSIGN_OR_RETURN(auto decoder, models::CreateDecoder(model.identity.shape, model.layout));
  return std::make_unique<ImaginedWorld>(std::move(decoder), model, sources, options);
}

}  // namespace allometry::trainer
