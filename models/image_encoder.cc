#include "models/image_encoder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace allometry::models {
namespace {

constexpr int64_t kPlaceChannels = 6;
constexpr int64_t kOutputPerChannel = 32;

class Tensors {
 public:
  void LayerNorm(const std::string& name, int64_t channels) {
    Add(name + ".weight", {channels}, 0);
    Add(name + ".bias", {channels}, 0);
  }
  // Applied at `places`.
  void Weights(const std::string& name, std::vector<int64_t> shape, int64_t places) {
    const int64_t out = shape[0];
    EncoderTensor& weight = Add(name + ".weight", std::move(shape), 0);
    weight.multiply_adds = weight.size() * places;
    Add(name + ".bias", {out}, 0);
  }
  std::vector<EncoderTensor> Take() { return std::move(tensors_); }

 private:
  EncoderTensor& Add(std::string name, std::vector<int64_t> shape, int64_t multiply_adds) {
    return tensors_.emplace_back(
        EncoderTensor{absl::StrCat("encoder.", name), std::move(shape), multiply_adds});
  }
  std::vector<EncoderTensor> tensors_;
};

}  // namespace

std::vector<EncoderTensor> EncoderTensors(const Shape& shape) {
  const Family* family = FindFamily(shape.family);
  ALLO_CHECK(family != nullptr) << shape.family;
  if (family->encoder_channels == 0) return {};
  Tensors tensors;
  int64_t places = static_cast<int64_t>(shape.image_height / 4) * (shape.image_width / 4);
  int64_t channels = family->encoder_channels;
  for (int stage = 0; stage < kEncoderStages; ++stage) {
    const std::string name = absl::StrCat("stage_", stage);
    if (stage == 0) {
      tensors.Weights(name + ".patch", {channels, shape.image_channels, 4, 4}, places);
      tensors.LayerNorm(name + ".norm", channels);
    } else {
      tensors.LayerNorm(name + ".norm", channels);
      places /= 4;
      tensors.Weights(name + ".patch", {2 * channels, channels, 2, 2}, places);
      channels *= 2;
    }
    tensors.Weights(name + ".depthwise", {channels, 1, 7, 7}, places);
    tensors.LayerNorm(name + ".ln", channels);
    tensors.Weights(name + ".up", {4 * channels, channels}, places);
    tensors.Weights(name + ".down", {channels, 4 * channels}, places);
  }
  tensors.LayerNorm("norm", channels);
  tensors.Weights("places", {kPlaceChannels, channels}, places);
  const int64_t output = kOutputPerChannel * family->encoder_channels;
  tensors.Weights("hidden", {output, kPlaceChannels * places}, 1);
  tensors.Weights("width", {shape.width, output}, 1);
  return tensors.Take();
}

}  // namespace allometry::models
