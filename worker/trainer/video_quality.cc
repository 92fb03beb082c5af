#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/agreement.h"
#include "metrics/frechet.h"
#include "models/decode.h"
#include "worker/trainer/checkpoint_measure.h"
#include "worker/trainer/observation_view.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/tokenizer_file.h"
#include "worker/trainer/video_features.h"
#include "worker/trainer/videos.h"

namespace allometry::trainer {
namespace {

using metrics::FrechetDistance;

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

// How unlike the pictures are that a tokenizer makes of two sets of frames, by what its encoder
// sees in them.
class Perception {
 public:
  Perception(TokenizerFile tokenizer, int64_t tokens, int32_t first_id)
      : file_(std::move(tokenizer)), tokens_(tokens), first_id_(first_id) {}

  // The mean cosine distance of the encoder's features, frame by frame.
  double Distance(std::span<const int32_t> real, std::span<const int32_t> generated) const {
    const auto frames = static_cast<int64_t>(real.size()) / tokens_;
    const auto size = static_cast<size_t>(file_.tokenizer->features());
    double sum = 0;
    for (int64_t first = 0; first < frames; first += kFramesAtOnce) {
      const int64_t count = std::min(kFramesAtOnce, frames - first);
      const auto of = [&](std::span<const int32_t> all) {
        return Features(all.subspan(first * tokens_, count * tokens_), count);
      };
      const std::vector<float> a = of(real), b = of(generated);
      for (int64_t i = 0; i < count; ++i) {
        sum += metrics::CosineDistance(std::span(a).subspan(i * size, size),
                                       std::span(b).subspan(i * size, size));
      }
    }
    return sum / static_cast<double>(frames);
  }

 private:
  static constexpr int64_t kFramesAtOnce = 64;  // part of a run's numbers: do not change

  std::vector<float> Features(std::span<const int32_t> tokens, int64_t count) const {
    std::vector<int32_t> codes(tokens.begin(), tokens.end());
    for (int32_t& code : codes) code -= first_id_;
    const models::Shape& shape = file_.shape;
    std::vector<uint8_t> images(count * shape.image_height * shape.image_width *
                                shape.image_channels);
    file_.tokenizer->Decode(codes, images);
    std::vector<float> features(count * file_.tokenizer->features());
    file_.tokenizer->Features(images, features);
    return features;
  }

  const TokenizerFile file_;
  const int64_t tokens_;
  const int32_t first_id_;
};

class VideoQuality final : public CheckpointMeasure {
 public:
  VideoQuality(const VideoShape& shape, ObservationView view, uint64_t seed, const RealVideos& real,
               std::unique_ptr<models::Decoder> decoder, std::unique_ptr<VideoFeatures> features,
               std::optional<TokenizerFile> tokenizer)
      : shape_(shape),
        view_(std::move(view)),
        seed_(seed),
        real_(real),
        decoder_(std::move(decoder)),
        features_(std::move(features)),
        inverse_("frechet_inverse", features_->Inverse(real.windows),
                 features_->Inverse(real.others)),
        random_("frechet_random", features_->Random(real.windows), features_->Random(real.others)) {
    if (tokenizer.has_value()) {
      perception_.emplace(*std::move(tokenizer), shape.observation_tokens, shape.observation.begin);
    }
  }

  absl::StatusOr<bool> Log(int64_t step, std::span<const float> parameters,
                           const std::function<bool()>& go_on, CurveLog& curve) override {
    std::vector<int32_t> generated(real_.windows.size());
    ALLO_ASSIGN_OR_RETURN(const bool whole, GenerateVideos(*decoder_, parameters, shape_, seed_,
                                                           real_.windows, generated, go_on));
    if (!whole) return false;
    LogAgreement(step, generated, curve);
    inverse_.Log(features_->Inverse(generated), step, curve);
    random_.Log(features_->Random(generated), step, curve);
    return true;
  }

 private:
  void LogAgreement(int64_t step, std::span<const int32_t> generated, CurveLog& curve) const {
    const auto windows = static_cast<int64_t>(generated.size()) / shape_.window();
    for (const int h : Horizons(shape_.frames)) {
      std::vector<int32_t> real_frames, frames;
      for (int64_t window = 0; window < windows; ++window) {
        const int64_t at = window * shape_.window() + int64_t{h} * shape_.frame_tokens;
        const auto take = [&](std::span<const int32_t> from, std::vector<int32_t>& to) {
          to.insert(to.end(), from.begin() + at, from.begin() + at + shape_.observation_tokens);
        };
        take(real_.windows, real_frames);
        take(generated, frames);
      }
      curve.Add(step, absl::StrCat("token_accuracy_h", h),
                metrics::ShareEqual(real_frames, frames));
      if (view_.has_cells()) {
        curve.Add(step, absl::StrCat("cell_error_h", h), view_.CellError(real_frames, frames));
      }
      if (perception_.has_value()) {
        curve.Add(step, absl::StrCat("perceptual_h", h),
                  perception_->Distance(real_frames, frames));
      }
    }
  }

  const VideoShape shape_;
  const ObservationView view_;
  const uint64_t seed_;
  const RealVideos& real_;
  const std::unique_ptr<models::Decoder> decoder_;
  const std::unique_ptr<VideoFeatures> features_;
  const Distance inverse_, random_;
  std::optional<Perception> perception_;  // of frames that are images
};

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointMeasure>> CreateVideoQuality(
    const std::string& run_dir, const run::RunSpec& spec, const data::WindowSources& sources,
    int64_t frames, const RealVideos& real) {
  const auto seed = static_cast<uint64_t>(spec.identity.evaluation.seed);
  absl::StatusOr<VideoShape> shape =
      VideoShapeOf(sources.manifest, spec.identity.shape.context, frames);
  if (!shape.ok()) return WithReason(run::ExitReason::kData, shape.status());
  absl::StatusOr<ObservationView> view =
      ObservationView::Create(run_dir, spec, sources.manifest, seed);
  if (!view.ok()) return WithReason(run::ExitReason::kData, view.status());
  std::optional<TokenizerFile> tokenizer;
  for (const run::RunInput& input : spec.inputs) {
    if (input.kind != run::InputKind::kTokenizer) continue;
    absl::StatusOr<TokenizerFile> read = ReadTokenizer(run_dir, input);
    if (!read.ok()) return WithReason(run::ExitReason::kData, read.status());
    tokenizer = *std::move(read);
  }
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout,
                        models::LayoutOf(spec.identity.shape));
  ALLO_ASSIGN_OR_RETURN(auto decoder, models::CreateDecoder(spec.identity.shape, layout));
  absl::StatusOr<std::unique_ptr<VideoFeatures>> features =
      CreateVideoFeatures(*shape, *view, sources, {.seed = seed});
  if (!features.ok()) return WithReason(run::ExitReason::kData, features.status());
  return std::make_unique<VideoQuality>(*shape, *std::move(view), seed, real, std::move(decoder),
                                        *std::move(features), std::move(tokenizer));
}

}  // namespace allometry::trainer
