#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/split_mix.h"
#include "models/image_encoder.h"
#include "models/positions.h"
#include "models/train_step.h"
#include "models/vq_network.h"

namespace allometry::models {
namespace {

class LayoutBuilder {
 public:
  void Add(std::string name, std::vector<int64_t> shape) {
    ParameterView view;
    view.name = std::move(name);
    view.shape = std::move(shape);
    view.offset = layout_.size;
    view.size = 1;
    for (const int64_t extent : view.shape) view.size *= extent;
    view.decays = view.shape.size() > 1;
    layout_.size += view.size;
    layout_.views.push_back(std::move(view));
  }
  void AddLayerNorm(const std::string& name, int64_t width) {
    Add(name + ".weight", {width});
    Add(name + ".bias", {width});
  }
  void AddLinear(const std::string& name, int64_t out, int64_t in) {
    Add(name + ".weight", {out, in});
    Add(name + ".bias", {out});
  }
  // What was added up to here is trained by AdamW.
  void EndTrained() { layout_.trained = layout_.size; }
  ParameterLayout Take() { return std::move(layout_); }

 private:
  ParameterLayout layout_;
};

// A standard normal for (seed, counter): Box and Muller (1958) on two hashed uniforms.
double Normal(uint64_t seed, uint64_t counter) {
  const uint64_t key = SplitMix(seed);
  const double u1 = (static_cast<double>(SplitMix(key ^ (2 * counter)) >> 11) + 0.5) * 0x1p-53;
  const double u2 = (static_cast<double>(SplitMix(key ^ (2 * counter + 1)) >> 11) + 0.5) * 0x1p-53;
  return std::sqrt(-2 * std::log(u1)) * std::cos(2 * M_PI * u2);
}

ParameterLayout VqLayout(const Shape& shape) {
  LayoutBuilder layout;
  for (VqTensor& tensor : VqTensors(shape)) {
    layout.Add(std::move(tensor.name), std::move(tensor.shape));
  }
  layout.EndTrained();
  const int64_t codes = shape.vocabulary, width = CodeWidth(shape);
  layout.Add("quantizer.codebook", {codes, width});
  layout.Add("quantizer.counts", {codes});
  layout.Add("quantizer.sums", {codes, width});
  return layout.Take();
}

// N(0, 1 / fan-in), twice that variance before a rectifier's half; gains 1; biases, positions and
// the quantiser's state, which its first batches fill, 0.
void InitializeVq(const Shape& shape, const ParameterLayout& layout, int64_t seed,
                  std::span<float> parameters) {
  std::fill(parameters.begin(), parameters.end(), 0.0f);
  const double gain = FindFamily(shape.family)->variance_gain;
  size_t next = 0;
  for (const VqTensor& tensor : VqTensors(shape)) {
    const ParameterView& view = layout.views[next++];
    if (tensor.fan_in == 0) continue;
    const bool is_matrix = tensor.multiply_adds > 0;
    const double deviation = std::sqrt(gain / static_cast<double>(tensor.fan_in));
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      parameters[i] = is_matrix ? static_cast<float>(deviation * Normal(static_cast<uint64_t>(seed),
                                                                        static_cast<uint64_t>(i)))
                                : (tensor.fan_in == 1 ? 1.0f : 0.0f);
    }
  }
}

}  // namespace

absl::StatusOr<ParameterLayout> LayoutOf(const Shape& shape) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  if (FindFamily(shape.family)->tokenizer) return VqLayout(shape);
  const int64_t d = shape.width;
  LayoutBuilder layout;
  layout.Add("transformer.wte.weight", {shape.vocabulary, d});
  for (const PositionTable& table : PositionTables(shape)) layout.Add(table.name, {table.rows, d});
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string block = absl::StrCat("transformer.h.", layer);
    layout.AddLayerNorm(block + ".ln_1", d);
    layout.AddLinear(block + ".attn.c_attn", 3 * d, d);
    layout.AddLinear(block + ".attn.c_proj", d, d);
    layout.AddLayerNorm(block + ".ln_2", d);
    layout.AddLinear(block + ".mlp.c_fc", 4 * d, d);
    layout.AddLinear(block + ".mlp.c_proj", d, 4 * d);
  }
  layout.AddLayerNorm("transformer.ln_f", d);
  for (EncoderTensor& tensor : EncoderTensors(shape)) {
    layout.Add(std::move(tensor.name), std::move(tensor.shape));
  }
  layout.EndTrained();
  return layout.Take();
}

Batch Slice(const Batch& batch, int64_t begin, int64_t count) {
  Batch slice = batch;
  slice.sequences = count;
  const auto cut = [&](auto& host, auto& device) {
    const size_t each = host.size() / static_cast<size_t>(batch.sequences);
    host = host.subspan(static_cast<size_t>(begin) * each, static_cast<size_t>(count) * each);
    if (device != nullptr) device += static_cast<size_t>(begin) * each;
  };
  cut(slice.inputs, slice.device_inputs);
  cut(slice.targets, slice.device_targets);
  cut(slice.images, slice.device_images);
  slice.first_sequence += begin;
  return slice;
}

void Initialize(const Shape& shape, const ParameterLayout& layout, int64_t seed,
                std::span<float> parameters) {
  ALLO_CHECK(static_cast<int64_t>(parameters.size()) == layout.size);
  if (FindFamily(shape.family)->tokenizer) return InitializeVq(shape, layout, seed, parameters);
  const double residual = 0.02 / std::sqrt(2.0 * shape.layers);
  for (const ParameterView& view : layout.views) {
    const bool is_matrix = view.shape.size() > 1;
    const bool is_gain = !is_matrix && view.name.ends_with(".weight");
    const double deviation = view.name.ends_with("c_proj.weight") ? residual : 0.02;
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      parameters[i] = is_matrix ? static_cast<float>(deviation * Normal(static_cast<uint64_t>(seed),
                                                                        static_cast<uint64_t>(i)))
                                : (is_gain ? 1.0f : 0.0f);
    }
  }
}

}  // namespace allometry::models
