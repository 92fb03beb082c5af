#include "models/autograd_step.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/block_tensors.h"
#include "models/encode_images.h"
#include "models/positions.h"

namespace allometry::models {
namespace {

class AutogradStep final : public TrainStep {
 public:
  AutogradStep(const Shape& shape, const ParameterLayout& layout, Device device, bool bf16)
      : shape_(shape),
        layout_(layout),
        bf16_(bf16),
        device_(device.cuda ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.index))
                            : at::Device(at::kCPU)),
        tables_(PositionTables(shape)) {
    for (const PositionTable& table : tables_) {
      std::vector<int64_t> rows;
      for (int i = 0; i < shape.context; ++i) rows.push_back(table.RowOf(i));
      table_rows_.push_back(Kept<int64_t>().On(device_, std::move(rows)));
    }
    PlaceRotation(RotationOf(shape));
    if (!bf16_) return;
    const auto options = at::TensorOptions().dtype(at::kBFloat16).device(device_);
    rounded_ = at::zeros({layout_.size}, options);
    rounded_gradient_ = at::zeros({layout_.size}, options);
  }

  int64_t gradient_size() const override { return layout_.size; }

  absl::Status LossAndGradient(std::span<const float> parameters, const Batch& batch, float weight,
                               std::span<float> gradient, double* loss) override {
    return Differentiate(parameters, batch, weight, gradient, loss, nullptr);
  }

  absl::Status LossAndGradientInParts(std::span<const float> parameters, const Batch& batch,
                                      float weight, std::span<float> gradient, double* loss,
                                      const GradientDone& done) override {
    return Differentiate(parameters, batch, weight, gradient, loss, &done);
  }

  std::span<uint16_t> rounded_parameters() override {
    if (!bf16_) return {};
    return {reinterpret_cast<uint16_t*>(rounded_.mutable_data_ptr<at::BFloat16>()),
            static_cast<size_t>(layout_.size)};
  }

  void RoundParameters(std::span<const float> parameters) override {
    const at::NoGradGuard no_grad;
    if (bf16_) rounded_.copy_(Flat(parameters));
  }

  absl::Status Losses(std::span<const float> parameters, const Batch& batch,
                      std::span<double> losses) override {
    ALLO_CHECK(static_cast<int64_t>(losses.size()) == batch.sequences * batch.context);
    const at::NoGradGuard no_grad;
    ALLO_RETURN_IF_ERROR(Check(batch));
    BindParameters(parameters);
    std::fill(losses.begin(), losses.end(), 0.0);
    const std::vector<int64_t> places = PlacesOf(batch);
    if (places.empty()) return absl::OkStatus();
    const at::Tensor values = TargetLosses(batch, places).to(at::kCPU, at::kDouble).contiguous();
    const double* value = values.const_data_ptr<double>();
    for (const int64_t place : places) losses[place] = *value++;
    return absl::OkStatus();
  }

 private:
  // The residual stream where the backward pass stops and goes on: before each block and after the
  // last.
  struct Cut {
    at::Tensor before;  // ends what comes before the cut
    at::Tensor after;   // a leaf with the same values
  };

  // With `done` the backward pass is cut, so that a block's gradient is whole before that of the
  // block below is begun.
  absl::Status Differentiate(std::span<const float> parameters, const Batch& batch, float weight,
                             std::span<float> gradient, double* loss, const GradientDone* done) {
    ALLO_CHECK(static_cast<int64_t>(gradient.size()) == layout_.size);
    ALLO_RETURN_IF_ERROR(Check(batch));
    BindParameters(parameters);
    BindGradient(gradient);
    const std::vector<int64_t> places = PlacesOf(batch);
    if (places.empty()) return absl::InvalidArgumentError("no target of the batch counts");
    std::vector<Cut> cuts;
    const at::Tensor mean =
        Mean(TargetLosses(batch, places, done == nullptr ? nullptr : &cuts), batch, places);
    if (device_.is_cpu()) {
      *loss += static_cast<double>(weight) * static_cast<double>(mean.item<float>());
    } else {
      at::from_blob(loss, {}, at::TensorOptions().dtype(at::kDouble).device(device_))
          .add_(mean.detach(), weight);
    }
    (mean * weight).backward();
    if (done == nullptr) {
      AddRounded(gradient, 0, layout_.size);
      return absl::OkStatus();
    }
    // Of the embeddings, each block, the final norm and the encoder, in the order of the layout.
    const auto begin_of = [this](int64_t block) {
      return layout_.views[1 + tables_.size() + BlockTensors::kViews * block].offset;
    };
    const ParameterView& last_bias =
        layout_.views[1 + tables_.size() + BlockTensors::kViews * shape_.layers + 1];
    const int64_t transformer_end = last_bias.offset + last_bias.size;
    const auto finish = [&](int64_t begin, int64_t end) {
      AddRounded(gradient, begin, end);
      return (*done)(begin, end);
    };
    ALLO_RETURN_IF_ERROR(finish(begin_of(shape_.layers), transformer_end));
    for (int64_t block = shape_.layers; block >= 0; --block) {
      const Cut cut = std::exchange(cuts[block], {});
      cut.before.backward(cut.after.grad());
      ALLO_RETURN_IF_ERROR(finish(block == 0 ? 0 : begin_of(block - 1), begin_of(block)));
    }
    if (transformer_end == layout_.size) return absl::OkStatus();
    return finish(transformer_end, layout_.size);
  }

  // bf16: what the backward pass left in the copy's gradient, to that of the parameters.
  void AddRounded(std::span<float> gradient, int64_t begin, int64_t end) {
    if (!bf16_) return;
    const at::Tensor rounded = rounded_gradient_.narrow(0, begin, end - begin);
    Flat(gradient.subspan(begin, end - begin)).add_(rounded);
    rounded.zero_();
  }

  void PlaceRotation(Rotation rotation) {
    if (rotation.cosine.empty()) return;
    const std::vector<int64_t> size = {shape_.context, shape_.width / shape_.heads / 2};
    const auto on_device = [&](std::vector<float>& values) {
      return at::from_blob(values.data(), size, at::TensorOptions().dtype(at::kFloat))
          .clone()
          .to(device_);
    };
    cosine_ = on_device(rotation.cosine);
    sine_ = on_device(rotation.sine);
  }

  // Of the targets that count. Every frame counts.
  static std::vector<int64_t> PlacesOf(const Batch& batch) {
    std::vector<int64_t> places;
    if (!batch.action_ends.empty()) {
      places.resize(batch.sequences * batch.context);
      std::iota(places.begin(), places.end(), 0);
      return places;
    }
    places.reserve(batch.targets.size());
    for (size_t i = 0; i < batch.targets.size(); ++i) {
      if (batch.targets[i] != kMasked) places.push_back(static_cast<int64_t>(i));
    }
    return places;
  }

  // Of the targets' losses, under the batch's weights.
  at::Tensor Mean(const at::Tensor& losses, const Batch& batch,
                  const std::vector<int64_t>& places) {
    if (batch.weights.empty()) return losses.mean();
    std::vector<float> weights;
    weights.reserve(places.size());
    for (const int64_t place : places) {
      weights.push_back(batch.weights[place % batch.context] / static_cast<float>(batch.sequences));
    }
    return (losses * weights_.On(device_, std::move(weights))).sum();
  }

  // What of a batch must be there for the family; ids are checked where they are read.
  absl::Status Check(const Batch& batch) const {
    ALLO_CHECK(batch.context >= 1 && batch.context <= shape_.context) << batch.context;
    const auto positions = static_cast<size_t>(batch.sequences * batch.context);
    const bool has_encoder = shape_.image_height > 0;
    ALLO_CHECK(has_encoder == !batch.action_ends.empty());
    const size_t columns = has_encoder ? batch.action_ends.size() : 1;
    ALLO_CHECK(batch.inputs.size() == positions * columns &&
               batch.targets.size() == positions * columns)
        << batch.inputs.size() << " inputs, " << batch.targets.size() << " targets";
    ALLO_CHECK(batch.weights.empty() ||
               static_cast<int64_t>(batch.weights.size()) == batch.context);
    ALLO_CHECK(batch.images.size() == (has_encoder ? positions : 0) * shape_.image_height *
                                          shape_.image_width * shape_.image_channels)
        << batch.images.size() << " bytes of images";
    if (!has_encoder) return absl::OkStatus();
    // An id beyond its dimension would read another one's logits, or what is behind them.
    for (size_t i = 0; i < batch.targets.size(); ++i) {
      const size_t dimension = i % columns;
      const int32_t begin = dimension == 0 ? 0 : batch.action_ends[dimension - 1];
      const int32_t end = batch.action_ends[dimension];
      if (batch.targets[i] < begin || batch.targets[i] >= end) {
        return absl::InvalidArgumentError(
            absl::StrFormat("action %d of dimension %d: allowed is %d..%d", batch.targets[i],
                            dimension, begin, end - 1));
      }
    }
    return absl::OkStatus();
  }

  // Leaves over the caller's buffer; made again only when the buffer moved.
  void BindParameters(std::span<const float> parameters) {
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == layout_.size);
    if (parameters.data() == parameters_) return;
    parameters_ = parameters.data();
    gradient_ = nullptr;
    leaves_.clear();
    for (const ParameterView& view : layout_.views) {
      // Autograd only reads a leaf; from_blob has no const form.
      leaves_.push_back(Slice(const_cast<float*>(parameters_), view).set_requires_grad(true));
    }
    token_table_ = leaves_[0];
    const auto first_block = static_cast<std::ptrdiff_t>(1 + tables_.size());
    position_tables_.assign(leaves_.begin() + 1, leaves_.begin() + first_block);
    // What lies between the embeddings and the encoder, and the tied head.
    const int64_t transformer_end = first_block + BlockTensors::kViews * shape_.layers + 2;
    rounded_leaves_.clear();
    for (int64_t i = 0; bf16_ && i < transformer_end; ++i) {
      const ParameterView& view = layout_.views[i];
      at::Tensor leaf = Part(rounded_, view).detach().set_requires_grad(true);
      leaf.mutable_grad() = Part(rounded_gradient_, view);
      rounded_leaves_.push_back(leaf);
    }
    const std::vector<at::Tensor>& trunk = bf16_ ? rounded_leaves_ : leaves_;
    head_table_ = trunk[0];
    auto next = trunk.cbegin() + first_block;
    blocks_ = TakeBlocks(shape_.layers, next);
    final_gain_ = *next++;
    final_bias_ = *next++;
    encoder_.assign(leaves_.begin() + transformer_end, leaves_.end());
  }

  // With a gradient already there and grad mode off, backward adds to it in place.
  void BindGradient(std::span<float> gradient) {
    if (gradient.data() == gradient_) return;
    gradient_ = gradient.data();
    for (size_t i = 0; i < leaves_.size(); ++i) {
      leaves_[i].mutable_grad() = Slice(gradient_, layout_.views[i]);
    }
  }

  at::Tensor Flat(std::span<const float> buffer) const {
    return at::from_blob(const_cast<float*>(buffer.data()), {static_cast<int64_t>(buffer.size())},
                         at::TensorOptions().dtype(at::kFloat).device(device_));
  }

  static at::Tensor Part(const at::Tensor& flat, const ParameterView& view) {
    return flat.narrow(0, view.offset, view.size).view(view.shape);
  }

  at::Tensor Slice(float* buffer, const ParameterView& view) const {
    return at::from_blob(buffer + view.offset, view.shape,
                         at::TensorOptions().dtype(at::kFloat).device(device_));
  }

  // On the step's device, as int64: the ids that lie there already, or a copy of the host's.
  at::Tensor Ids(const int32_t* device, const int32_t* host, at::IntArrayRef sizes) const {
    const auto options = at::TensorOptions().dtype(at::kInt);
    if (device != nullptr) {
      return at::from_blob(const_cast<int32_t*>(device), sizes, options.device(device_))
          .to(at::kLong);
    }
    return at::from_blob(const_cast<int32_t*>(host), sizes, options).to(device_, at::kLong);
  }

  // Queries or keys [sequences, heads, context, head width], turned where positions are rotary.
  at::Tensor Rotated(const at::Tensor& x) const {
    if (!cosine_.defined()) return x;
    const at::Tensor cosine = cosine_.narrow(0, 0, x.size(2)), sine = sine_.narrow(0, 0, x.size(2));
    const at::Tensor pairs = x.reshape({x.size(0), x.size(1), x.size(2), x.size(3) / 2, 2});
    const at::Tensor even = pairs.select(4, 0), odd = pairs.select(4, 1);
    return at::stack({even * cosine - odd * sine, odd * cosine + even * sine}, 4)
        .view(x.sizes())
        .to(x.scalar_type());
  }

  at::Tensor Attention(const at::Tensor& x, const BlockTensors& block) const {
    const int64_t sequences = x.size(0), context = x.size(1), width = shape_.width;
    const at::Tensor qkv = at::linear(x, block.attention_weight, block.attention_bias);
    const auto heads = [&](int64_t part) {
      return qkv.narrow(2, part * width, width)
          .view({sequences, context, shape_.heads, width / shape_.heads})
          .transpose(1, 2);
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(
        Rotated(heads(0)), Rotated(heads(1)), heads(2), /*attn_mask=*/{}, /*dropout_p=*/0.0,
        /*is_causal=*/true);
    return at::linear(mixed.transpose(1, 2).reshape({sequences, context, width}),
                      block.attention_out_weight, block.attention_out_bias);
  }

  // Tensors on the device that stay where they are once copied there: a captured update reads them
  // again and again, and may not copy from the host. The places of the targets that count are the
  // same in every batch of one size, and a run has few sizes: of micro-batches and evaluations.
  template <class T>
  class Kept {
   public:
    const at::Tensor& On(const at::Device& device, std::vector<T> values) {
      constexpr size_t kMost = 8;
      for (const auto& [known, tensor] : kept_) {
        if (known == values) return tensor;
      }
      if (kept_.size() == kMost) kept_.pop_front();
      at::Tensor tensor =
          at::from_blob(values.data(), {static_cast<int64_t>(values.size())},
                        at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value))
              .to(device, c10::CppTypeToScalarType<T>::value, /*non_blocking=*/false,
                  /*copy=*/true);
      kept_.emplace_back(std::move(values), std::move(tensor));
      return kept_.back().second;
    }

   private:
    std::deque<std::pair<std::vector<T>, at::Tensor>> kept_;
  };

  // The cross-entropy of each target that counts; there are logits only for those.
  at::Tensor TargetLosses(const Batch& batch, const std::vector<int64_t>& places,
                          std::vector<Cut>* cuts = nullptr) {
    at::Tensor x = Trunk(batch, cuts).view({-1, shape_.width});
    const bool all_count = static_cast<int64_t>(places.size()) == x.size(0);
    const at::Tensor counting = all_count ? at::Tensor() : places_.On(device_, places);
    if (!all_count) x = x.index_select(0, counting);
    const at::Tensor logits =
        at::linear(at::layer_norm(x, {shape_.width}, final_gain_, final_bias_, kLayerNormEpsilon),
                   head_table_)
            .to(at::kFloat);
    if (!encoder_.empty()) return ActionLosses(logits, batch);
    at::Tensor targets = Ids(batch.device_targets, batch.targets.data(),
                             {static_cast<int64_t>(batch.targets.size())});
    if (!all_count) targets = targets.index_select(0, counting);
    if (!batch.classes.empty()) return ClassLosses(logits, batch.classes, targets);
    return at::cross_entropy_loss(logits, targets, {}, at::Reduction::None);
  }

  // -log of the probability of each target's class.
  at::Tensor ClassLosses(const at::Tensor& logits, std::span<const uint8_t> classes,
                         const at::Tensor& targets) {
    ALLO_CHECK(static_cast<int>(classes.size()) == shape_.vocabulary);
    const at::Tensor& class_of = classes_.On(device_, {classes.begin(), classes.end()});
    const at::Tensor outside =
        class_of.unsqueeze(0) != class_of.index_select(0, targets).unsqueeze(1);
    const at::Tensor within = logits.masked_fill(outside, -std::numeric_limits<double>::infinity());
    return at::logsumexp(logits, {1}) - at::logsumexp(within, {1});
  }

  // Of each frame its image's encoding and the rows of the previous actions, where there were any.
  at::Tensor FrameInputs(const Batch& batch) const {
    const int64_t frames = batch.sequences * batch.context;
    const bool there_already = batch.device_images != nullptr;
    const at::Tensor images =
        at::from_blob(
            const_cast<uint8_t*>(there_already ? batch.device_images : batch.images.data()),
            {frames, shape_.image_height, shape_.image_width, shape_.image_channels},
            at::TensorOptions().dtype(at::kByte).device(there_already ? device_ : at::kCPU))
            .to(device_);
    const at::Tensor before = FrameActions(batch, batch.device_inputs, batch.inputs);
    const at::Tensor there = (before >= 0).unsqueeze(2).to(at::kFloat);
    const at::Tensor actions = (at::embedding(token_table_, before.clamp_min(0)) * there).sum(1);
    return (EncodeImages(shape_, encoder_, images) + actions)
        .view({batch.sequences, batch.context, shape_.width});
  }

  // [frames, dimensions].
  at::Tensor FrameActions(const Batch& batch, const int32_t* device,
                          std::span<const int32_t> host) const {
    return Ids(device, host.data(),
               {batch.sequences * batch.context, static_cast<int64_t>(batch.action_ends.size())});
  }

  // Of each frame the mean over the action dimensions.
  at::Tensor ActionLosses(const at::Tensor& logits, const Batch& batch) const {
    const at::Tensor targets = FrameActions(batch, batch.device_targets, batch.targets);
    at::Tensor sum;
    int64_t begin = 0;
    for (size_t i = 0; i < batch.action_ends.size(); ++i) {
      const int64_t end = batch.action_ends[i];
      const at::Tensor loss = at::cross_entropy_loss(
          logits.narrow(1, begin, end - begin), targets.select(1, static_cast<int64_t>(i)) - begin,
          {}, at::Reduction::None);
      sum = i == 0 ? loss : sum + loss;
      begin = end;
    }
    return sum / static_cast<double>(batch.action_ends.size());
  }

  // The residual stream after the last block, cut where `cuts` is not null.
  at::Tensor Trunk(const Batch& batch, std::vector<Cut>* cuts) const {
    const auto cut = [cuts](at::Tensor& x) {
      if (cuts == nullptr) return;
      cuts->push_back({x, x.detach().set_requires_grad(true)});
      x = cuts->back().after;
    };
    const auto norm = [&](const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias) {
      return at::layer_norm(x, {shape_.width}, gain, bias, kLayerNormEpsilon);
    };
    at::Tensor x = encoder_.empty()
                       ? at::embedding(token_table_, Ids(batch.device_inputs, batch.inputs.data(),
                                                         {batch.sequences, batch.context}))
                       : FrameInputs(batch);
    for (size_t i = 0; i < tables_.size(); ++i) {
      x = x + at::embedding(position_tables_[i], table_rows_[i].narrow(0, 0, batch.context));
    }
    if (bf16_) x = x.to(at::kBFloat16);
    for (const BlockTensors& block : blocks_) {
      cut(x);
      x = x + Attention(norm(x, block.ln_1_gain, block.ln_1_bias), block);
      const at::Tensor up =
          at::linear(norm(x, block.ln_2_gain, block.ln_2_bias), block.up_weight, block.up_bias);
      x = x + at::linear(at::gelu(up), block.down_weight, block.down_bias);
    }
    cut(x);
    return x;
  }

  const Shape shape_;
  const ParameterLayout layout_;
  const bool bf16_;
  const at::Device device_;
  const std::vector<PositionTable> tables_;
  std::vector<at::Tensor> table_rows_;     // of each table the row of each position
  at::Tensor cosine_, sine_;               // undefined where positions are not rotary
  at::Tensor rounded_, rounded_gradient_;  // bf16: flat, as the parameters
  const float* parameters_ = nullptr;
  float* gradient_ = nullptr;
  std::vector<at::Tensor> leaves_;  // fp32, of the caller's parameters, in the layout's order
  std::vector<at::Tensor> rounded_leaves_;  // bf16: of the copy; the encoder has none
  // Of the tied table the embedding reads one leaf and the head another, where they differ.
  at::Tensor token_table_, head_table_, final_gain_, final_bias_;
  std::vector<at::Tensor> position_tables_;
  std::vector<BlockTensors> blocks_;
  std::vector<at::Tensor> encoder_;  // empty for families of tokens
  Kept<int64_t> places_, classes_;
  Kept<float> weights_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> CreateAutogradStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device,
                                                              run::Precision precision) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  if (FindFamily(shape.family)->tokenizer) {
    return absl::UnimplementedError(
        absl::StrCat("autograd trains transformers; family ", shape.family, " is a tokenizer"));
  }
  if (device.cuda && !at::globalContext().hasCUDA()) {
    return absl::UnimplementedError(
        "device cuda was asked for, but no CUDA device is here (or this program was built without "
        "CUDA): use device cpu");
  }
  return std::make_unique<AutogradStep>(shape, layout, device, precision == run::Precision::kBf16);
}

}  // namespace allometry::models
