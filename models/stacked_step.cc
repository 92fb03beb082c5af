#include "models/stacked_step.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/block_tensors.h"
#include "models/positions.h"

namespace allometry::models {
namespace {

// A model's rows of activations are so many or a multiple, of which those of whole sequences are
// padding: every model's part of every tensor then begins at a multiple of 64 bytes, whatever its
// width, and a product's code does not depend on where it lies.
constexpr int64_t kRowMultiple = 16;
// 256 bytes, as far apart as the memory of two of LibTorch's tensors is aligned.
constexpr int64_t kStrideElements = 64;

class StackedAutogradStep final : public StackedStep {
 public:
  StackedAutogradStep(const Shape& shape, const ParameterLayout& layout, int models, Device device)
      : shape_(shape),
        layout_(layout),
        models_(models),
        stride_((layout.size + kStrideElements - 1) / kStrideElements * kStrideElements),
        device_(device.cuda ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.index))
                            : at::Device(at::kCPU)),
        tables_(PositionTables(shape)) {
    for (const PositionTable& table : tables_) {
      std::vector<int64_t> rows;
      for (int i = 0; i < shape.context; ++i) rows.push_back(table.RowOf(i));
      table_rows_.push_back(OnDevice(rows));
    }
    const Rotation rotation = RotationOf(shape);
    if (rotation.cosine.empty()) return;
    const int64_t pairs = shape.width / shape.heads / 2;
    cosine_ = OnDevice(rotation.cosine).view({shape.context, pairs});
    sine_ = OnDevice(rotation.sine).view({shape.context, pairs});
  }

  int64_t stride() const override { return stride_; }

  absl::Status LossesAndGradients(std::span<const float> parameters, std::span<const Batch> batches,
                                  float weight, std::span<float> gradients,
                                  std::span<double* const> losses) override {
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == models_ * stride_);
    ALLO_CHECK(gradients.size() == parameters.size());
    ALLO_CHECK(static_cast<int64_t>(batches.size()) == models_ && losses.size() == batches.size());
    for (const Batch& batch : batches) ALLO_RETURN_IF_ERROR(Check(batch, batches[0]));
    ALLO_RETURN_IF_ERROR(BindPlaces(batches));
    Bind(parameters, gradients);
    const at::Tensor means = Means(batches);
    if (device_.is_cpu()) {
      const float* mean = means.const_data_ptr<float>();
      for (double* const loss : losses) {
        *loss += static_cast<double>(weight) * static_cast<double>(*mean++);
      }
    } else {
      const at::Tensor detached = means.detach();
      const auto one_double = at::TensorOptions().dtype(at::kDouble).device(device_);
      for (int64_t k = 0; k < models_; ++k) {
        at::from_blob(losses[k], {}, one_double).add_(detached[k], weight);
      }
    }
    (means.sum() * weight).backward();
    return absl::OkStatus();
  }

 private:
  template <class T>
  at::Tensor OnDevice(const std::vector<T>& values) const {
    return at::from_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())},
                         at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value))
        .to(device_, c10::CppTypeToScalarType<T>::value, /*non_blocking=*/false, /*copy=*/true);
  }

  absl::Status Check(const Batch& batch, const Batch& first) const {
    ALLO_CHECK(batch.context >= 1 && batch.context <= shape_.context) << batch.context;
    ALLO_CHECK(batch.action_ends.empty() && batch.classes.empty());
    ALLO_CHECK(batch.sequences == first.sequences && batch.context == first.context);
    ALLO_CHECK((batch.device_inputs == nullptr) == (first.device_inputs == nullptr));
    const auto positions = static_cast<size_t>(batch.sequences * batch.context);
    ALLO_CHECK(batch.inputs.size() == positions && batch.targets.size() == positions);
    if (!std::equal(batch.weights.begin(), batch.weights.end(), first.weights.begin(),
                    first.weights.end())) {
      return absl::InvalidArgumentError("stacked models whose targets have other weights");
    }
    return absl::OkStatus();
  }

  // Which targets count, and their weights, on the device: the same in every batch of a run.
  absl::Status BindPlaces(std::span<const Batch> batches) {
    const Batch& first = batches[0];
    std::vector<int64_t> places;
    for (size_t i = 0; i < first.targets.size(); ++i) {
      const bool counts = first.targets[i] != kMasked;
      for (const Batch& batch : batches) {
        if ((batch.targets[i] != kMasked) != counts) {
          return absl::InvalidArgumentError("stacked models of which other positions count");
        }
      }
      if (counts) places.push_back(static_cast<int64_t>(i));
    }
    if (places.empty()) return absl::InvalidArgumentError("no target of the batch counts");
    std::vector<float> weights;
    for (const int64_t place : places) {
      if (first.weights.empty()) break;
      weights.push_back(first.weights[place % first.context] / static_cast<float>(first.sequences));
    }
    padded_sequences_ = first.sequences;
    while (padded_sequences_ * first.context % kRowMultiple != 0) ++padded_sequences_;
    all_count_ = padded_sequences_ == first.sequences && places.size() == first.targets.size();
    if (places != places_) places_on_device_ = OnDevice(places);
    if (weights != weights_) weights_on_device_ = OnDevice(weights);
    places_ = std::move(places);
    weights_ = std::move(weights);
    return absl::OkStatus();
  }

  // Leaves over the caller's buffers; made again only when those moved.
  void Bind(std::span<const float> parameters, std::span<float> gradients) {
    if (parameters.data() == parameters_ && gradients.data() == gradients_) return;
    parameters_ = parameters.data();
    gradients_ = gradients.data();
    leaves_.clear();
    for (const ParameterView& view : layout_.views) {
      // Autograd only reads a leaf; from_blob has no const form.
      at::Tensor leaf = Strided(const_cast<float*>(parameters_), view).set_requires_grad(true);
      leaf.mutable_grad() = Strided(gradients_, view);
      leaves_.push_back(std::move(leaf));
    }
    auto next = leaves_.cbegin() + 1 + static_cast<std::ptrdiff_t>(tables_.size());
    blocks_ = TakeBlocks(shape_.layers, next);
    final_gain_ = *next++;
    final_bias_ = *next++;
  }

  // [K, the view's shape] of a buffer [K, stride].
  at::Tensor Strided(float* buffer, const ParameterView& view) const {
    std::vector<int64_t> sizes = {models_}, strides(view.shape.size() + 1, 1);
    sizes.insert(sizes.end(), view.shape.begin(), view.shape.end());
    for (size_t i = view.shape.size(); i-- > 1;) strides[i] = strides[i + 1] * sizes[i + 1];
    strides[0] = stride_;
    return at::from_blob(buffer + view.offset, sizes, strides,
                         at::TensorOptions().dtype(at::kFloat).device(device_));
  }

  // Of every batch, [K, positions], as int64 on the device.
  at::Tensor Ids(std::span<const Batch> batches, std::span<const int32_t> Batch::*host,
                 const int32_t* Batch::*device) const {
    std::vector<at::Tensor> ids;
    for (const Batch& batch : batches) {
      const bool is_there = batch.*device != nullptr;
      const auto options =
          at::TensorOptions().dtype(at::kInt).device(is_there ? device_ : at::Device(at::kCPU));
      ids.push_back(
          at::from_blob(const_cast<int32_t*>(is_there ? batch.*device : (batch.*host).data()),
                        {batch.sequences * batch.context}, options));
    }
    return at::stack(ids).to(device_, at::kLong);
  }

  at::Tensor Norm(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias) const {
    return at::addcmul(bias.unsqueeze(1),
                       at::layer_norm(x, {shape_.width}, {}, {}, kLayerNormEpsilon),
                       gain.unsqueeze(1));
  }

  // x [K, rows, in], weight [K, out, in].
  static at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return at::baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2));
  }

  at::Tensor Rotated(const at::Tensor& x) const {
    if (!cosine_.defined()) return x;
    const at::Tensor cosine = cosine_.narrow(0, 0, x.size(2)), sine = sine_.narrow(0, 0, x.size(2));
    const at::Tensor pairs = x.reshape({x.size(0), x.size(1), x.size(2), x.size(3) / 2, 2});
    const at::Tensor even = pairs.select(4, 0), odd = pairs.select(4, 1);
    return at::stack({even * cosine - odd * sine, odd * cosine + even * sine}, 4).view(x.sizes());
  }

  // x [K, sequences * context, width]; a sequence of one model is like one of another.
  at::Tensor Attention(const at::Tensor& x, int64_t context, const BlockTensors& block) const {
    const int64_t width = shape_.width, rows = x.size(1);
    const at::Tensor qkv = Linear(x, block.attention_weight, block.attention_bias);
    const auto heads = [&](int64_t part) {
      return qkv.narrow(2, part * width, width)
          .reshape({models_ * rows / context, context, shape_.heads, width / shape_.heads})
          .transpose(1, 2);
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(
        Rotated(heads(0)), Rotated(heads(1)), heads(2), /*attn_mask=*/{}, /*dropout_p=*/0.0,
        /*is_causal=*/true);
    return Linear(mixed.transpose(1, 2).reshape({models_, rows, width}), block.attention_out_weight,
                  block.attention_out_bias);
  }

  // Row `ids` [K, n], or one list [n] for all models, of each model's table [K, rows, width].
  at::Tensor Rows(const at::Tensor& table, const at::Tensor& ids) const {
    const at::Tensor first_rows =
        at::arange(models_, ids.options()).mul_(table.size(1)).unsqueeze(1);
    return at::embedding(table.reshape({models_ * table.size(1), shape_.width}), ids + first_rows);
  }

  // The loss of each model, [K].
  at::Tensor Means(std::span<const Batch> batches) const {
    const int64_t context = batches[0].context, rows = padded_sequences_ * context;
    at::Tensor inputs = Ids(batches, &Batch::inputs, &Batch::device_inputs);
    if (const int64_t padding = rows - inputs.size(1); padding > 0) {
      inputs = at::constant_pad_nd(inputs, {0, padding}, 0);
    }
    at::Tensor x =
        Rows(leaves_[0], inputs).view({models_, padded_sequences_, context, shape_.width});
    for (size_t i = 0; i < tables_.size(); ++i) {
      x = x + Rows(leaves_[1 + i], table_rows_[i].narrow(0, 0, context)).unsqueeze(1);
    }
    x = x.view({models_, rows, shape_.width});
    for (const BlockTensors& block : blocks_) {
      x = x + Attention(Norm(x, block.ln_1_gain, block.ln_1_bias), context, block);
      const at::Tensor up =
          Linear(Norm(x, block.ln_2_gain, block.ln_2_bias), block.up_weight, block.up_bias);
      x = x + Linear(at::gelu(up), block.down_weight, block.down_bias);
    }
    at::Tensor targets = Ids(batches, &Batch::targets, &Batch::device_targets);
    if (!all_count_) {
      x = x.index_select(1, places_on_device_);
      targets = targets.index_select(1, places_on_device_);
    }
    const at::Tensor logits =
        at::bmm(Norm(x, final_gain_, final_bias_), leaves_[0].transpose(1, 2));
    const at::Tensor losses = at::cross_entropy_loss(logits.view({-1, shape_.vocabulary}),
                                                     targets.reshape({-1}), {}, at::Reduction::None)
                                  .view({models_, -1});
    return weights_.empty() ? losses.mean(1) : (losses * weights_on_device_).sum(1);
  }

  const Shape shape_;
  const ParameterLayout layout_;
  const int64_t models_, stride_;
  const at::Device device_;
  const std::vector<PositionTable> tables_;
  std::vector<at::Tensor> table_rows_;  // of each table the row of each position
  at::Tensor cosine_, sine_;            // undefined where positions are not rotary
  const float* parameters_ = nullptr;
  float* gradients_ = nullptr;
  std::vector<at::Tensor> leaves_;  // [K, ...], in the layout's order
  std::vector<BlockTensors> blocks_;
  at::Tensor final_gain_, final_bias_;
  int64_t padded_sequences_ = 0;
  bool all_count_ = true;
  std::vector<int64_t> places_;
  std::vector<float> weights_;
  at::Tensor places_on_device_, weights_on_device_;
};

}  // namespace

absl::Status CheckTokens(const Batch& batch, int vocabulary) {
  const auto check = [&](int32_t id) {
    if (id >= 0 && id < vocabulary) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrFormat("token %d: allowed is 0..%d", id, vocabulary - 1));
  };
  for (const int32_t id : batch.inputs) ALLO_RETURN_IF_ERROR(check(id));
  for (const int32_t id : batch.targets) {
    if (id != kMasked) ALLO_RETURN_IF_ERROR(check(id));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StackedStep>> CreateStackedStep(const Shape& shape,
                                                               const ParameterLayout& layout,
                                                               int models, Device device,
                                                               run::Precision precision) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  if (models < 1 || models > kMostStacked) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a stack of %d runs: allowed is 1..%d", models, kMostStacked));
  }
  if (FindFamily(shape.family)->tokenizer || shape.image_height > 0) {
    return absl::UnimplementedError(
        absl::StrCat("runs of family ", shape.family, " are not stacked: those of tokens are"));
  }
  if (precision == run::Precision::kBf16) {
    return absl::UnimplementedError("runs in bf16 are not stacked: those in fp32 and tf32 are");
  }
  if (device.cuda && !at::globalContext().hasCUDA()) {
    return absl::UnimplementedError("device cuda was asked for, but no CUDA device is here");
  }
  return std::make_unique<StackedAutogradStep>(shape, layout, models, device);
}

}  // namespace allometry::models
