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
#include "metrics/agreement.h"
#include "metrics/frechet.h"
#include "models/decode.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/curve_log.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/observation_view.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/video_features.h"
#include "worker/trainer/videos.h"

namespace allometry::trainer {
namespace {

using metrics::FrechetDistance;
using run::ExitReason;

constexpr int64_t kWindowsAtOnce = 32;  // whose losses are computed together

// 1, 3, 7, .. and the last frame, counted from the real one.
std::vector<int> Horizons(int frames) {
  std::vector<int> horizons;
  for (int h = 1; h < frames; h = 2 * h + 1) horizons.push_back(h);
  if (horizons.back() != frames - 1) horizons.push_back(frames - 1);
  return horizons;
}

// The distance from the real videos by one set of features, where there are samples enough.
class Distance {
 public:
  Distance(std::string name, std::vector<float> real, std::vector<float> other_real)
      : name_(std::move(name)) {
    absl::StatusOr<FrechetDistance> from = FrechetDistance::From(Rows(real));
    if (!from.ok()) return;
    from_.emplace(*std::move(from));
    if (const auto floor = from_->To(Rows(other_real)); floor.ok()) floor_ = *floor;
  }

  void Log(std::vector<float> generated, int64_t step, CurveLog& curve) const {
    if (!from_.has_value()) return;
    if (const auto distance = from_->To(Rows(generated)); distance.ok()) {
      curve.Add(step, name_, *distance);
    }
    if (floor_.has_value()) curve.Add(step, absl::StrCat(name_, "_floor"), *floor_);
  }

 private:
  static metrics::Samples Rows(const std::vector<float>& values) {
    return {values, static_cast<int64_t>(values.size()) / kVideoFeatures, kVideoFeatures};
  }

  const std::string name_;
  std::optional<FrechetDistance> from_;
  std::optional<double> floor_;
};

// What the attempt reads once.
struct EvaluationParts {
  data::WindowSources sources;
  VideoShape shape;
  ObservationView view;
  models::Objective objective;
  std::unique_ptr<Learner> learner;  // as the checkpoint at hand left it
  std::unique_ptr<models::Decoder> decoder;
  std::vector<int32_t> real, other_real;  // windows
};

class EvaluationImpl final : public Training {
 public:
  EvaluationImpl(TrainingParts parts, EvaluationParts own, std::unique_ptr<VideoFeatures> features)
      : parts_(std::move(parts)),
        spec_(parts_.spec),
        own_(std::move(own)),
        features_(std::move(features)),
        inverse_("frechet_inverse", features_->Inverse(own_.real),
                 features_->Inverse(own_.other_real)),
        random_("frechet_random", features_->Random(own_.real), features_->Random(own_.other_real)),
        curve_(parts_.spool, spec_.identity.batch_tokens, spec_.steps, parts_.progress) {}

  int64_t step() const override { return step_; }

  absl::StatusOr<TrainingEnd> Run() override {
    ALLO_RETURN_IF_ERROR(
        RecordExecutionConfig(parts_, kWindowsAtOnce, own_.learner->step_backend()));
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
    std::vector<int32_t> generated(own_.real.size());
    ALLO_ASSIGN_OR_RETURN(
        const bool whole,
        GenerateVideos(*own_.decoder, own_.learner->parameters(), own_.shape,
                       static_cast<uint64_t>(spec_.identity.evaluation.seed), own_.real, generated,
                       [this] { return CommandOf(parts_) == LeaseCommand::kNone; }));
    if (!whole) return EndBy(CommandOf(parts_), step_);
    LogAgreement(step, generated);
    inverse_.Log(features_->Inverse(generated), step, curve_);
    random_.Log(features_->Random(generated), step, curve_);
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
      return own_.learner
          ->Restore(parts_.run_dir,
                    {.step = step, .file = input.file, .hash = input.hash, .run_id = input.run_id})
          .status();
    }
    return absl::FailedPreconditionError(
        absl::StrFormat("run.json has no checkpoint of step %d among its inputs", step));
  }

  void LogAgreement(int64_t step, std::span<const int32_t> generated) {
    const VideoShape& shape = own_.shape;
    const auto windows = static_cast<int64_t>(generated.size()) / shape.window();
    for (const int h : Horizons(shape.frames)) {
      std::vector<int32_t> real_frames, frames;
      for (int64_t window = 0; window < windows; ++window) {
        const int64_t at = window * shape.window() + int64_t{h} * shape.frame_tokens;
        const auto take = [&](std::span<const int32_t> from, std::vector<int32_t>& to) {
          to.insert(to.end(), from.begin() + at, from.begin() + at + shape.observation_tokens);
        };
        take(own_.real, real_frames);
        take(generated, frames);
      }
      curve_.Add(step, absl::StrCat("token_accuracy_h", h),
                 metrics::ShareEqual(real_frames, frames));
      if (own_.view.has_cells()) {
        curve_.Add(step, absl::StrCat("cell_error_h", h), own_.view.CellError(real_frames, frames));
      }
    }
  }

  absl::StatusOr<double> HeldoutLoss() {
    const int64_t context = spec_.identity.shape.context;
    const auto windows = static_cast<int64_t>(own_.real.size()) / context;
    double sum = 0;
    for (int64_t first = 0; first < windows; first += kWindowsAtOnce) {
      const int64_t count = std::min(kWindowsAtOnce, windows - first);
      const auto inputs = std::span(own_.real).subspan(first * context, count * context);
      // The successor of a window's last token is the next frame's and is not asked for.
      std::vector<int32_t> targets(inputs.begin() + 1, inputs.end());
      targets.push_back(models::kMasked);
      for (int64_t row = 1; row <= count; ++row) targets[row * context - 1] = models::kMasked;
      own_.objective.Mask(targets);
      std::vector<double> losses(targets.size());
      models::Batch batch;
      batch.sequences = count;
      batch.context = context;
      batch.inputs = inputs;
      batch.targets = targets;
      ALLO_RETURN_IF_ERROR(own_.learner->Losses(batch, losses));
      for (int64_t row = 0; row < count; ++row) {
        for (const int place : own_.objective.supervised()) sum += losses[row * context + place];
      }
    }
    return sum /
           static_cast<double>(windows * static_cast<int64_t>(own_.objective.supervised().size()));
  }

  const TrainingParts parts_;
  const run::RunSpec& spec_;
  const EvaluationParts own_;
  const std::unique_ptr<VideoFeatures> features_;
  const Distance inverse_, random_;
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

absl::StatusOr<EvaluationParts> Open(const TrainingParts& parts) {
  run::RunSpec spec = parts.spec;
  const int64_t context = spec.identity.shape.context, videos = spec.identity.evaluation.videos;
  spec.evaluation_windows = 2 * videos;
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources,
                        OpenWindowsOf(parts.run_dir, parts.data_dir, spec));
  ALLO_ASSIGN_OR_RETURN(const VideoShape shape, VideoShapeOf(sources.manifest, context));
  ALLO_ASSIGN_OR_RETURN(
      ObservationView view,
      ObservationView::Create(parts.run_dir, spec, sources.manifest,
                              static_cast<uint64_t>(spec.identity.evaluation.seed)));
  ALLO_ASSIGN_OR_RETURN(
      models::Objective objective,
      models::Objective::Create(spec.identity.objective, spec.identity.objective_seed,
                                spec.identity.shape.vocabulary, static_cast<int>(context),
                                FrameTokensOf(sources.manifest)));
  const bool has_others = sources.heldout_count >= 2 * videos;
  const int64_t count = has_others ? videos : std::min(videos, sources.heldout_count);
  const int64_t distance = has_others ? 2 : 1;
  ALLO_ASSIGN_OR_RETURN(std::vector<int32_t> real,
                        Windows(*sources.heldout, 0, distance, count, context));
  ALLO_ASSIGN_OR_RETURN(std::vector<int32_t> other_real,
                        Windows(*sources.heldout, 1, distance, has_others ? count : 0, context));
  return EvaluationParts{.sources = std::move(sources),
                         .shape = shape,
                         .view = std::move(view),
                         .objective = std::move(objective),
                         .learner = nullptr,
                         .decoder = nullptr,
                         .real = std::move(real),
                         .other_real = std::move(other_real)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> CreateEvaluation(TrainingParts parts) {
  absl::StatusOr<EvaluationParts> own = Open(parts);
  if (!own.ok()) return WithReason(ExitReason::kData, own.status());
  // The checkpoints say whose they are.
  run::Identity trained = parts.spec.identity;
  trained.evaluation = {};
  ALLO_ASSIGN_OR_RETURN(own->learner,
                        Learner::Create(trained, parts.spec.step_backend, parts.device));
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout, models::LayoutOf(trained.shape));
  ALLO_ASSIGN_OR_RETURN(own->decoder, models::CreateDecoder(trained.shape, layout));
  absl::StatusOr<std::unique_ptr<VideoFeatures>> features =
      CreateVideoFeatures(own->shape, own->view, own->sources,
                          {.seed = static_cast<uint64_t>(parts.spec.identity.evaluation.seed)});
  if (!features.ok()) return WithReason(ExitReason::kData, features.status());
  return std::make_unique<EvaluationImpl>(std::move(parts), *std::move(own), *std::move(features));
}

}  // namespace allometry::trainer
