#include "models/encode_images.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>

#include "base/check.h"
#include "models/image_encoder.h"

namespace allometry::models {
namespace {

// Hands out the encoder's tensors in their order, a weight and its bias at a time.
class Layers {
 public:
  explicit Layers(std::span<const at::Tensor> tensors) : tensors_(tensors) {}

  // Over the channels, which come last.
  at::Tensor Normalized(const at::Tensor& x) {
    const at::Tensor &gain = Next(), &bias = Next();
    return at::layer_norm(x, {x.size(-1)}, gain, bias, 1e-5);
  }
  at::Tensor Linear(const at::Tensor& x) {
    const at::Tensor &weight = Next(), &bias = Next();
    return at::linear(x, weight, bias);
  }
  // [images, h, w, channels] to the same; convolutions want the channels second.
  at::Tensor Convolved(const at::Tensor& x, int64_t stride, int64_t padding, bool depthwise) {
    const at::Tensor &weight = Next(), &bias = Next();
    return at::conv2d(x.permute({0, 3, 1, 2}), weight, bias, stride, padding, /*dilation=*/1,
                      depthwise ? x.size(3) : 1)
        .permute({0, 2, 3, 1});
  }
  bool done() const { return next_ == tensors_.size(); }

 private:
  const at::Tensor& Next() { return tensors_[next_++]; }
  const std::span<const at::Tensor> tensors_;
  size_t next_ = 0;
};

}  // namespace

at::Tensor EncodeImages(const Shape& shape, std::span<const at::Tensor> tensors,
                        const at::Tensor& images) {
  ALLO_CHECK(images.dim() == 4 && images.size(1) == shape.image_height &&
             images.size(2) == shape.image_width && images.size(3) == shape.image_channels);
  Layers layers(tensors);
  at::Tensor x = images.to(at::kFloat) / 255 - 0.5;
  for (int stage = 0; stage < kEncoderStages; ++stage) {
    if (stage == 0) {
      x = layers.Normalized(layers.Convolved(x, /*stride=*/4, /*padding=*/0, /*depthwise=*/false));
    } else {
      x = layers.Convolved(layers.Normalized(x), /*stride=*/2, /*padding=*/0, /*depthwise=*/false);
    }
    const at::Tensor mixed =
        layers.Normalized(layers.Convolved(x, /*stride=*/1, /*padding=*/3, /*depthwise=*/true));
    const at::Tensor hidden = at::gelu(layers.Linear(mixed));
    x = x + layers.Linear(hidden);
  }
  const at::Tensor places = layers.Linear(layers.Normalized(x)).reshape({images.size(0), -1});
  const at::Tensor hidden = at::gelu(layers.Linear(places));
  const at::Tensor encoded = layers.Linear(hidden);
  ALLO_CHECK(layers.done());
  return encoded;
}

}  // namespace allometry::models
