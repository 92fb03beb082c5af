#include "worker/trainer/video_features.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv3d.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "base/check.h"
#include "models/adamw.h"

namespace allometry::trainer {
namespace {

constexpr double kRate = 2e-3;
constexpr int64_t kAtOnce = 64;  // windows whose features are computed together

// Tensors side by side in one flat buffer, as models::AdamW takes them.
class Network {
 public:
  // Weights N(0, 2 / fan-in), before rectifiers; a bias is 0.
  void AddLayer(const std::string& name, std::vector<int64_t> weight) {
    int64_t fan_in = 1;
    for (size_t i = 1; i < weight.size(); ++i) fan_in *= weight[i];
    const int64_t out = weight.front();
    deviations_.push_back(std::sqrt(2.0 / static_cast<double>(fan_in)));
    Add(name + ".weight", std::move(weight), true);
    deviations_.push_back(0);
    Add(name + ".bias", {out}, false);
  }

  void Initialize(uint64_t seed) {
    parameters_.assign(layout_.size, 0.0f);
    for (size_t i = 0; i < layout_.views.size(); ++i) {
      const models::ParameterView& view = layout_.views[i];
      for (int64_t j = view.offset; deviations_[i] > 0 && j < view.offset + view.size; ++j) {
        const double radius = std::sqrt(-2 * std::log(1 - models::Uniform(seed, j, 0)));
        parameters_[j] = static_cast<float>(
            deviations_[i] * radius * std::cos(2 * std::numbers::pi * models::Uniform(seed, j, 1)));
      }
      tensors_.push_back(at::from_blob(parameters_.data() + view.offset, view.shape, at::kFloat));
    }
  }

  // Of layer i its weight and its bias.
  const at::Tensor& weight(size_t i) const { return tensors_[2 * i]; }
  const at::Tensor& bias(size_t i) const { return tensors_[2 * i + 1]; }

  void BeginTraining() {
    for (std::vector<float>* buffer : {&gradient_, &first_, &second_}) {
      buffer->assign(layout_.size, 0.0f);
    }
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const models::ParameterView& view = layout_.views[i];
      tensors_[i].set_requires_grad(true);
      tensors_[i].mutable_grad() =
          at::from_blob(gradient_.data() + view.offset, view.shape, at::kFloat);
    }
    models::AdamWOptions options;
    options.beta2 = 0.999;
    options.weight_decay = 0;
    adamw_ = models::CreateAdamW(layout_, options, {});
  }
  void Update(const at::Tensor& loss, int64_t step) {
    std::fill(gradient_.begin(), gradient_.end(), 0.0f);
    loss.backward();
    double norm = 0;
    const at::NoGradGuard no_grad;
    adamw_->Step({parameters_, gradient_, first_, second_}, step, kRate, &norm);
  }

 private:
  void Add(std::string name, std::vector<int64_t> shape, bool decays) {
    models::ParameterView view;
    view.name = std::move(name);
    view.shape = std::move(shape);
    view.offset = layout_.size;
    view.size = 1;
    for (const int64_t side : view.shape) view.size *= side;
    view.decays = decays;
    layout_.size += view.size;
    layout_.trained = layout_.size;
    layout_.views.push_back(std::move(view));
  }

  models::ParameterLayout layout_;
  std::vector<double> deviations_;
  std::vector<float> parameters_, gradient_, first_, second_;
  std::vector<at::Tensor> tensors_;
  std::unique_ptr<models::AdamW> adamw_;
};

// Ids of an action dimension.
struct Dimension {
  int64_t begin = 0, count = 0;
};

class VideoFeaturesImpl final : public VideoFeatures {
 public:
  VideoFeaturesImpl(const VideoShape& shape, const ObservationView& view,
                    const data::Manifest& manifest, uint64_t seed)
      : shape_(shape), view_(view) {
    for (const data::VocabularySegment& segment : data::ActionSegments(manifest)) {
      dimensions_.push_back({segment.begin, segment.end - segment.begin});
    }
    const int64_t channels = view.channels();
    int64_t in = channels;
    for (const int64_t out : {8, 16, 32, 32}) {
      random_.AddLayer("conv", {out, in, 3, 3, 3});
      in = out;
    }
    random_.Initialize(seed);
    inverse_.AddLayer("conv1", {16, 2 * channels, 3, 3});
    inverse_.AddLayer("conv2", {kVideoFeatures, 16, 3, 3});
    for (const Dimension& dimension : dimensions_) {
      inverse_.AddLayer("action", {dimension.count, kVideoFeatures});
    }
    inverse_.Initialize(seed + 1);
  }

  absl::Status Train(const data::WindowSource& source, const VideoFeatureOptions& options) {
    if (dimensions_.empty()) return absl::OkStatus();
    inverse_.BeginTraining();
    std::vector<int32_t> tokens(int64_t{options.windows} * shape_.window()), targets(tokens.size());
    for (int update = 1; update <= options.updates; ++update) {
      const int64_t first = int64_t{update - 1} * options.windows;
      ALLO_RETURN_IF_ERROR(source.Fill(first, options.windows, tokens, targets));
      const at::Tensor hidden = Hidden(Pictures(tokens));
      at::Tensor loss;
      for (size_t i = 0; i < dimensions_.size(); ++i) {
        const at::Tensor logits = at::linear(hidden, inverse_.weight(2 + i), inverse_.bias(2 + i));
        std::vector<int64_t> actions = Actions(tokens, i);
        const at::Tensor one = at::cross_entropy_loss(
            logits, at::from_blob(actions.data(), {static_cast<int64_t>(actions.size())}, at::kLong)
                        .clone());
        loss = i == 0 ? one : loss + one;
      }
      inverse_.Update(loss, update);
    }
    return absl::OkStatus();
  }

  std::vector<float> Random(std::span<const int32_t> videos) const override {
    const at::NoGradGuard no_grad;
    return InPieces(videos, [this](std::span<const int32_t> some) {
      at::Tensor x = Pictures(some).transpose(1, 2);  // [windows, channels, K, height, width]
      for (int layer = 0; layer < 4; ++layer) {
        x = at::relu(at::conv3d(x, random_.weight(layer), random_.bias(layer), 1, 1));
      }
      return x.mean(at::IntArrayRef({2, 3, 4}));
    });
  }

  std::vector<float> Inverse(std::span<const int32_t> videos) const override {
    if (dimensions_.empty()) return {};
    const at::NoGradGuard no_grad;
    return InPieces(videos,
                    [this](std::span<const int32_t> some) { return Hidden(Pictures(some)); });
  }

 private:
  // [windows, K, channels, height, width].
  at::Tensor Pictures(std::span<const int32_t> videos) const {
    const auto windows = static_cast<int64_t>(videos.size()) / shape_.window();
    std::vector<float> values(windows * shape_.frames * view_.size());
    for (int64_t frame = 0; frame < windows * shape_.frames; ++frame) {
      view_.Fill(videos.subspan(frame * shape_.frame_tokens, shape_.observation_tokens),
                 std::span(values).subspan(frame * view_.size(), view_.size()));
    }
    return at::from_blob(values.data(),
                         {windows, shape_.frames, view_.channels(), view_.height(), view_.width()},
                         at::kFloat)
        .clone();
  }

  // Of each transition, [windows * (K - 1), kVideoFeatures].
  at::Tensor Hidden(const at::Tensor& pictures) const {
    const int64_t transitions = shape_.frames - 1;
    const at::Tensor before = pictures.narrow(1, 0, transitions);
    const at::Tensor after = pictures.narrow(1, 1, transitions);
    at::Tensor x = at::cat({before, after}, 2)
                       .reshape({-1, 2 * view_.channels(), view_.height(), view_.width()});
    for (int layer = 0; layer < 2; ++layer) {
      x = at::relu(at::conv2d(x, inverse_.weight(layer), inverse_.bias(layer), 1, 1));
    }
    return x.mean(at::IntArrayRef({2, 3}));
  }

  // Of each transition the action of the first of its frames, from 0.
  std::vector<int64_t> Actions(std::span<const int32_t> videos, size_t dimension) const {
    std::vector<int64_t> actions;
    const auto frames = static_cast<int64_t>(videos.size()) / shape_.frame_tokens;
    for (int64_t frame = 0; frame < frames; ++frame) {
      if (frame % shape_.frames == shape_.frames - 1) continue;
      const int64_t at =
          frame * shape_.frame_tokens + shape_.observation_tokens + static_cast<int64_t>(dimension);
      const int64_t action = videos[at] - dimensions_[dimension].begin;
      ALLO_CHECK(action >= 0 && action < dimensions_[dimension].count) << videos[at];
      actions.push_back(action);
    }
    return actions;
  }

  template <class Compute>
  std::vector<float> InPieces(std::span<const int32_t> videos, Compute compute) const {
    std::vector<float> rows;
    const int64_t piece = kAtOnce * shape_.window(), size = static_cast<int64_t>(videos.size());
    for (int64_t first = 0; first < size; first += piece) {
      const at::Tensor some =
          compute(videos.subspan(first, std::min(piece, size - first))).contiguous();
      const float* values = some.template const_data_ptr<float>();
      rows.insert(rows.end(), values, values + some.numel());
    }
    return rows;
  }

  const VideoShape shape_;
  const ObservationView view_;
  std::vector<Dimension> dimensions_;
  Network random_, inverse_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VideoFeatures>> CreateVideoFeatures(
    const VideoShape& shape, const ObservationView& view, const data::WindowSources& sources,
    const VideoFeatureOptions& options) {
  auto features = std::make_unique<VideoFeaturesImpl>(shape, view, sources.manifest, options.seed);
  ALLO_RETURN_IF_ERROR(features->Train(*sources.train, options));
  return features;
}

}  // namespace allometry::trainer
