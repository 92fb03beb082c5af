#include "worker/trainer/evaluation.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/checkpoint_measure.h"
#include "worker/trainer/curve_log.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;

constexpr int64_t kWindowsAtOnce = 32;  // whose losses are computed together

// What the attempt reads once.
struct EvaluationParts {
  data::WindowSources sources;
  std::optional<models::Objective> objective;
  std::unique_ptr<Learner> learner;  // as the checkpoint at hand left it
  RealVideos real;
  int64_t window = 0;  // tokens of each of them
  std::unique_ptr<CheckpointMeasure> measure;
};

class EvaluationImpl final : public Training {
 public:
  EvaluationImpl(TrainingParts parts, std::unique_ptr<EvaluationParts> own)
      : parts_(std::move(parts)),
        spec_(parts_.spec),
        own_(std::move(own)),
        curve_(parts_.spool, spec_.identity.batch_tokens, spec_.steps, parts_.progress) {}

  int64_t step() const override { return step_; }

  absl::StatusOr<TrainingEnd> Run() override {
    ALLO_RETURN_IF_ERROR(
        RecordExecutionConfig(parts_, kWindowsAtOnce, own_->learner->step_backend()));
    for (const int64_t step : spec_.evaluation_steps) {
      ALLO_ASSIGN_OR_RETURN(const std::optional<TrainingEnd> end, Evaluate(step));
      if (end.has_value()) return *end;
      step_ = step;
    }
    return TrainingEnd{ExitReason::kSucceeded, "", spec_.steps};
  }

  absl::StatusOr<Measurement> Measure(double /*seconds*/) override {
    return absl::UnimplementedError("a run of kind evaluate trains nothing that could be timed");
  }

 private:
  // Set where the attempt ends here.
  absl::StatusOr<std::optional<TrainingEnd>> Evaluate(int64_t step) {
    ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kCheckpoint, Restore(step)));
    ALLO_ASSIGN_OR_RETURN(const bool whole,
                          own_->measure->Log(
                              step, own_->learner->parameters(),
                              [this] { return CommandOf(parts_) == LeaseCommand::kNone; }, curve_));
    if (!whole) return EndBy(CommandOf(parts_), step_);
    ALLO_ASSIGN_OR_RETURN(const double heldout, HeldoutLoss());
    curve_.Add(step, "heldout", heldout);
    ALLO_RETURN_IF_ERROR(curve_.FlushIfDue(step));
    ALLO_RETURN_IF_ERROR(curve_.Flush());  // what a checkpoint took seconds for
    if (!std::isfinite(heldout)) {
      return TrainingEnd{
          ExitReason::kDiverged,
          absl::StrFormat("the held-out loss of the checkpoint at step %d is %g", step, heldout),
          step};
    }
    return std::optional<TrainingEnd>();
  }

  absl::Status Restore(int64_t step) {
    for (const run::RunInput& input : spec_.inputs) {
      if (input.kind != run::InputKind::kCheckpoint || input.step != step) continue;
      return own_->learner
          ->Restore(parts_.run_dir,
                    {.step = step, .file = input.file, .hash = input.hash, .run_id = input.run_id})
          .status();
    }
    return absl::FailedPreconditionError(
        absl::StrFormat("run.json has no checkpoint of step %d among its inputs", step));
  }

  absl::StatusOr<double> HeldoutLoss() {
    const int64_t context = spec_.identity.shape.context;
    const int64_t window = own_->window;
    const auto windows = static_cast<int64_t>(own_->real.windows.size()) / window;
    double sum = 0;
    for (int64_t first = 0; first < windows; first += kWindowsAtOnce) {
      const int64_t count = std::min(kWindowsAtOnce, windows - first);
      // Of videos longer than the model's window its first frames.
      std::vector<int32_t> inputs;
      for (int64_t row = first; row < first + count; ++row) {
        const auto begin = own_->real.windows.begin() + row * window;
        inputs.insert(inputs.end(), begin, begin + context);
      }
      // The successor of a window's last token is the next frame's and is not asked for.
      std::vector<int32_t> targets(inputs.begin() + 1, inputs.end());
      targets.push_back(models::kMasked);
      for (int64_t row = 1; row <= count; ++row) targets[row * context - 1] = models::kMasked;
      own_->objective->Mask(targets);
      std::vector<double> losses(targets.size());
      models::Batch batch;
      batch.sequences = count;
      batch.context = context;
      batch.inputs = inputs;
      batch.targets = targets;
      ALLO_RETURN_IF_ERROR(own_->learner->Losses(batch, losses));
      for (int64_t row = 0; row < count; ++row) {
        for (const int place : own_->objective->supervised()) sum += losses[row * context + place];
      }
    }
    return sum / static_cast<double>(windows *
                                     static_cast<int64_t>(own_->objective->supervised().size()));
  }

  const TrainingParts parts_;
  const run::RunSpec& spec_;
  const std::unique_ptr<EvaluationParts> own_;
  CurveLog curve_;
  int64_t step_ = 0;  // the last one evaluated
};

// Windows `first`, first + distance, ...
absl::StatusOr<std::vector<int32_t>> Windows(const data::WindowSource& source, int64_t first,
                                             int64_t distance, int64_t count, int64_t context) {
  std::vector<int32_t> windows(count * context), targets(context);
  for (int64_t i = 0; i < count; ++i) {
    ALLO_RETURN_IF_ERROR(source.Fill(first + i * distance, 1,
                                     std::span(windows).subspan(i * context, context), targets));
  }
  return windows;
}

absl::StatusOr<std::unique_ptr<EvaluationParts>> Open(const TrainingParts& parts) {
  run::RunSpec spec = parts.spec;
  const int64_t context = spec.identity.shape.context, videos = spec.identity.evaluation.videos;
  const int64_t frames = spec.identity.evaluation.frames;
  spec.evaluation_windows = 2 * videos;
  auto own = std::make_unique<EvaluationParts>();
  ALLO_ASSIGN_OR_RETURN(own->sources, OpenWindowsOf(parts.run_dir, parts.data_dir, spec));
  own->window = context;
  if (frames > 0 && own->sources.manifest.frames.has_value()) {
    own->window = frames * own->sources.manifest.frames->tokens_per_frame();
    spec.identity.shape.context = static_cast<int>(own->window);
    ALLO_ASSIGN_OR_RETURN(own->sources, OpenWindowsOf(parts.run_dir, parts.data_dir, spec));
  }
  data::WindowSources& sources = own->sources;
  ALLO_ASSIGN_OR_RETURN(
      own->objective,
      models::Objective::Create(spec.identity.objective, spec.identity.objective_seed,
                                spec.identity.shape.vocabulary, static_cast<int>(context),
                                FrameTokensOf(sources.manifest)));
  const bool has_others = sources.heldout_count >= 2 * videos;
  const int64_t count = has_others ? videos : std::min(videos, sources.heldout_count);
  const int64_t distance = has_others ? 2 : 1;
  ALLO_ASSIGN_OR_RETURN(own->real.windows,
                        Windows(*sources.heldout, 0, distance, count, own->window));
  ALLO_ASSIGN_OR_RETURN(own->real.others, Windows(*sources.heldout, 1, distance,
                                                  has_others ? count : 0, own->window));
  return own;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> CreateEvaluation(TrainingParts parts) {
  const run::RunSpec& spec = parts.spec;
  absl::StatusOr<std::unique_ptr<EvaluationParts>> opened = Open(parts);
  if (!opened.ok()) return WithReason(ExitReason::kData, opened.status());
  std::unique_ptr<EvaluationParts> own = *std::move(opened);
  // The checkpoints say whose they are.
  run::Identity trained = spec.identity;
  trained.evaluation = {};
  ALLO_ASSIGN_OR_RETURN(own->learner, Learner::Create(trained, spec.step_backend, parts.device));
  if (spec.identity.evaluation.episodes > 0) {
    ALLO_ASSIGN_OR_RETURN(own->measure,
                          CreateCloneReturns(parts.run_dir, spec, own->sources.manifest));
  } else {
    ALLO_ASSIGN_OR_RETURN(own->measure,
                          CreateVideoQuality(parts.run_dir, spec, own->sources,
                                             spec.identity.evaluation.frames, own->real));
  }
  return std::make_unique<EvaluationImpl>(std::move(parts), std::move(own));
}

}  // namespace allometry::trainer
