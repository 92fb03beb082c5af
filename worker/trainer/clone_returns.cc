#include <algorithm>
#include <optional>
#include <utility>

#include "environments/environment.h"
#include "models/decode.h"
#include "worker/trainer/agent_world.h"
#include "worker/trainer/checkpoint_measure.h"
#include "worker/trainer/clone_player.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/play.h"
#include "worker/trainer/tokenizer_file.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

// Episodes that are played together.
constexpr int64_t kGroup = 128;

class CloneReturns final : public CheckpointMeasure {
 public:
  CloneReturns(const run::RunSpec& spec, const data::Manifest& manifest,
               std::unique_ptr<models::Decoder> decoder, std::optional<TokenizerFile> tokenizer)
      : evaluation_(spec.identity.evaluation),
        context_(spec.identity.shape.context),
        manifest_(manifest),
        decoder_(std::move(decoder)),
        tokenizer_(std::move(tokenizer)),
        scale_(ReturnScale(evaluation_.environment, manifest)) {}

  absl::StatusOr<bool> Log(int64_t step, std::span<const float> parameters,
                           const std::function<bool()>& go_on, CurveLog& curve) override {
    Played all;
    for (int64_t first = 0; first < evaluation_.episodes; first += kGroup) {
      const absl::StatusOr<Played> played =
          PlayGroup(first, std::min(kGroup, evaluation_.episodes - first), parameters, go_on);
      if (absl::IsCancelled(played.status())) return false;
      if (!played.ok()) return WithReason(ExitReason::kEnvironment, played.status());
      all.returns.insert(all.returns.end(), played->returns.begin(), played->returns.end());
      all.signs += played->signs;
      all.steps += played->steps;
    }
    LogReturns(all, scale_, step, curve);
    return true;
  }

  // Also tells at once what is wrong with the environment.
  absl::StatusOr<Played> PlayGroup(int64_t first, int64_t episodes,
                                   std::span<const float> parameters,
                                   const std::function<bool()>& go_on) {
    ALLO_ASSIGN_OR_RETURN(const auto environment, environments::Create(evaluation_.environment,
                                                                       static_cast<int>(episodes)));
    ALLO_ASSIGN_OR_RETURN(const Observer observer,
                          Observer::Create(environment->interface(), manifest_,
                                           tokenizer_.has_value() ? &*tokenizer_ : nullptr));
    ClonePlayer player(*decoder_, parameters, manifest_, context_,
                       static_cast<uint64_t>(evaluation_.seed));
    return Play(*environment, observer, manifest_.frames->tokens_per_observation, first,
                [&](const Moment& now, std::span<uint8_t> actions) -> absl::Status {
                  if (!go_on()) return absl::CancelledError("asked to end");
                  return player.Act(first, now, actions);
                });
  }

 private:
  const run::Evaluation evaluation_;
  const int64_t context_;
  const data::Manifest& manifest_;
  const std::unique_ptr<models::Decoder> decoder_;
  const std::optional<TokenizerFile> tokenizer_;
  const std::optional<data::Returns> scale_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointMeasure>> CreateCloneReturns(
    const std::string& run_dir, const run::RunSpec& spec, const data::Manifest& manifest) {
  if (!manifest.frames.has_value() || manifest.frames->tokens_per_action != 1) {
    return WithReason(ExitReason::kData,
                      absl::FailedPreconditionError(
                          "episodes are played with one action token a frame, which dataset " +
                          manifest.name + " has not"));
  }
  std::optional<TokenizerFile> tokenizer;
  for (const run::RunInput& input : spec.inputs) {
    if (input.kind != run::InputKind::kTokenizer) continue;
    absl::StatusOr<TokenizerFile> read = ReadTokenizer(run_dir, input);
    if (!read.ok()) return WithReason(ExitReason::kData, read.status());
    tokenizer = *std::move(read);
  }
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout,
                        models::LayoutOf(spec.identity.shape));
  ALLO_ASSIGN_OR_RETURN(auto decoder, models::CreateDecoder(spec.identity.shape, layout));
  return std::make_unique<CloneReturns>(spec, manifest, std::move(decoder), std::move(tokenizer));
}

}  // namespace allometry::trainer
