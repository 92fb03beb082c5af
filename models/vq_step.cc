#include "models/vq_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "models/codebook.h"
#include "models/vq_forward.h"
#include "models/vq_network.h"

namespace allometry::models {
namespace {

constexpr double kCommitment = 0.25;

at::Tensor IndexOf(const std::vector<int32_t>& ids) {
  return at::from_blob(const_cast<int32_t*>(ids.data()), {static_cast<int64_t>(ids.size())},
                       at::TensorOptions().dtype(at::kInt));
}

// Both networks and the codebook over a flat buffer.
class Network {
 public:
  Network(const Shape& shape, const ParameterLayout& layout)
      : shape_(shape), layout_(layout), encoder_(VqEncoder(shape)), decoder_(VqDecoder(shape)) {
    for (const VqOp& op : encoder_) encoder_tensors_ += TensorsOf(op).size();
    const size_t count = layout_.views.size();
    ALLO_CHECK(count > 3 && layout_.views[count - 3].name == "quantizer.codebook");
  }

  void Bind(std::span<const float> parameters, bool with_gradient) {
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == layout_.size);
    if (parameters.data() == parameters_) return;
    parameters_ = parameters.data();
    leaves_.clear();
    for (const ParameterView& view : layout_.views) {
      at::Tensor tensor = Slice(parameters_, view);  // from_blob has no const form
      leaves_.push_back(
          with_gradient && view.offset < layout_.trained ? tensor.set_requires_grad(true) : tensor);
    }
  }
  void BindGradient(float* gradient) {
    for (size_t i = 0; i < leaves_.size(); ++i) {
      if (leaves_[i].requires_grad()) leaves_[i].mutable_grad() = Slice(gradient, layout_.views[i]);
    }
  }

  const at::Tensor& codebook() const { return leaves_[leaves_.size() - 3]; }
  at::Tensor Encode(const at::Tensor& images) const {
    return RunVq(encoder_, std::span(leaves_).first(encoder_tensors_), images);
  }
  at::Tensor Decode(const at::Tensor& grid) const {
    const size_t end = leaves_.size() - 3;
    return RunVq(decoder_, std::span(leaves_).first(end).subspan(encoder_tensors_), grid);
  }

 private:
  static at::Tensor Slice(const float* buffer, const ParameterView& view) {
    return at::from_blob(const_cast<float*>(buffer) + view.offset, view.shape,
                         at::TensorOptions().dtype(at::kFloat));
  }

  const Shape shape_;
  const ParameterLayout layout_;
  const std::vector<VqOp> encoder_, decoder_;
  size_t encoder_tensors_ = 0;
  const float* parameters_ = nullptr;
  std::vector<at::Tensor> leaves_;
};

class VqStep final : public TrainStep {
 public:
  VqStep(const Shape& shape, const ParameterLayout& layout)
      : shape_(shape),
        codes_(shape.vocabulary),
        width_(CodeWidth(shape)),
        places_(shape.context),
        trained_(layout.trained),
        size_(layout.size),
        network_(shape, layout) {}

  int64_t gradient_size() const override { return size_ + kMostCandidates * width_; }

  absl::Status LossAndGradient(std::span<const float> parameters, const Batch& batch, float weight,
                               std::span<float> gradient, double* loss) override {
    ALLO_CHECK(static_cast<int64_t>(gradient.size()) == gradient_size());
    network_.Bind(parameters, /*with_gradient=*/true);
    network_.BindGradient(gradient.data());
    const at::Tensor images = VqInput(shape_, batch.images);
    ALLO_CHECK(images.size(0) == batch.sequences) << images.size(0) << " images";
    const at::Tensor vectors = VectorsOf(network_.Encode(images));
    ids_ = NearestCodes(network_.codebook(), vectors);
    const at::Tensor chosen = network_.codebook().index_select(0, IndexOf(ids_));
    const at::Tensor straight = vectors + (chosen - vectors).detach();
    const at::Tensor error = network_.Decode(Grid(straight, batch)) - images;
    const at::Tensor away = vectors - chosen;
    const at::Tensor mean = (error * error).mean() + kCommitment * (away * away).mean();
    (mean * weight).backward();
    *loss += static_cast<double>(weight) * static_cast<double>(mean.item<float>());
    Gather(vectors.detach().contiguous(), batch, gradient);
    return absl::OkStatus();
  }

  absl::Status Losses(std::span<const float> parameters, const Batch& batch,
                      std::span<double> losses) override {
    ALLO_CHECK(static_cast<int64_t>(losses.size()) == batch.sequences * batch.context);
    const at::NoGradGuard no_grad;
    network_.Bind(parameters, /*with_gradient=*/true);
    const at::Tensor images = VqInput(shape_, batch.images);
    const at::Tensor vectors = VectorsOf(network_.Encode(images));
    ids_ = NearestCodes(network_.codebook(), vectors);
    const at::Tensor chosen = network_.codebook().index_select(0, IndexOf(ids_));
    const at::Tensor error = network_.Decode(Grid(chosen, batch)) - images;
    const at::Tensor means = (error * error).mean({1, 2, 3}).to(at::kDouble).contiguous();
    std::fill(losses.begin(), losses.end(), 0.0);
    for (int64_t i = 0; i < batch.sequences; ++i) {
      losses[i * batch.context] = means.const_data_ptr<double>()[i];
    }
    return absl::OkStatus();
  }

  void AfterUpdate(std::span<float> parameters, std::span<const float> gradient,
                   int64_t sequences) override {
    const int64_t sums = codes_ * width_;
    const auto part = [&](auto buffer, int64_t offset, int64_t size) {
      return buffer.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
    };
    const int64_t candidates = std::min<int64_t>(sequences * places_, kMostCandidates);
    UpdateCodebook({.counts = part(gradient, trained_ + sums, codes_),
                    .sums = part(gradient, trained_ + sums + codes_, sums),
                    .candidates = part(gradient, size_, candidates * width_)},
                   {.codes = part(parameters, trained_, sums),
                    .counts = part(parameters, trained_ + sums, codes_),
                    .sums = part(parameters, trained_ + sums + codes_, sums)});
  }

  std::span<const int32_t> codes() const override { return ids_; }

 private:
  at::Tensor Grid(const at::Tensor& vectors, const Batch& batch) const {
    return GridOf(vectors, batch.sequences, GridSide(shape_));
  }

  // What the batch adds to counts and sums, and the candidates that are among its vectors.
  void Gather(const at::Tensor& vectors, const Batch& batch, std::span<float> gradient) const {
    const float* from = vectors.const_data_ptr<float>();
    float* const counts = gradient.data() + trained_ + codes_ * width_;
    float* const sums = counts + codes_;
    for (size_t row = 0; row < ids_.size(); ++row) {
      counts[ids_[row]] += 1;
      for (int64_t j = 0; j < width_; ++j) {
        sums[ids_[row] * width_ + j] += from[static_cast<int64_t>(row) * width_ + j];
      }
    }
    const int64_t all = batch.update_sequences * places_;
    const int64_t first = batch.first_sequence * places_;
    const auto own = static_cast<int64_t>(ids_.size());
    for (int i = 0; i < std::min<int64_t>(kMostCandidates, all); ++i) {
      const int64_t row = CandidateVector(batch.update, i, all) - first;
      if (row < 0 || row >= own) continue;
      std::copy_n(from + row * width_, width_, gradient.data() + size_ + i * width_);
    }
  }

  const Shape shape_;
  const int64_t codes_, width_, places_, trained_, size_;
  Network network_;
  std::vector<int32_t> ids_;  // of the last call
};

class FrozenTokenizer final : public ImageTokenizer {
 public:
  FrozenTokenizer(const Shape& shape, const ParameterLayout& layout, std::vector<float> parameters)
      : shape_(shape), parameters_(std::move(parameters)), network_(shape, layout) {
    network_.Bind(parameters_, /*with_gradient=*/false);
  }

  void Encode(std::span<const uint8_t> images, std::span<int32_t> codes) const override {
    const at::NoGradGuard no_grad;
    const auto ids =
        NearestCodes(network_.codebook(), VectorsOf(network_.Encode(VqInput(shape_, images))));
    ALLO_CHECK(ids.size() == codes.size()) << ids.size() << " codes";
    std::copy(ids.begin(), ids.end(), codes.begin());
  }

  int64_t features() const override { return shape_.context * network_.codebook().size(1); }
  void Features(std::span<const uint8_t> images, std::span<float> out) const override {
    const at::NoGradGuard no_grad;
    const at::Tensor vectors = VectorsOf(network_.Encode(VqInput(shape_, images))).contiguous();
    ALLO_CHECK(vectors.numel() == static_cast<int64_t>(out.size())) << out.size();
    std::copy_n(vectors.const_data_ptr<float>(), out.size(), out.begin());
  }

  void Decode(std::span<const int32_t> codes, std::span<uint8_t> images) const override {
    const at::NoGradGuard no_grad;
    const auto count = static_cast<int64_t>(codes.size()) / shape_.context;
    const at::Tensor chosen = network_.codebook().index_select(
        0, IndexOf(std::vector<int32_t>(codes.begin(), codes.end())));
    const at::Tensor pixels =
        network_.Decode(GridOf(chosen, count, GridSide(shape_))).permute({0, 2, 3, 1}).contiguous();
    ALLO_CHECK(pixels.numel() == static_cast<int64_t>(images.size())) << images.size();
    const float* value = pixels.const_data_ptr<float>();
    for (uint8_t& pixel : images) {
      pixel = static_cast<uint8_t>(std::clamp(std::lround((*value++ + 0.5f) * 255), 0L, 255L));
    }
  }

 private:
  const Shape shape_;
  const std::vector<float> parameters_;
  Network network_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> CreateVqStep(const Shape& shape,
                                                        const ParameterLayout& layout,
                                                        Device device, run::Precision precision) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  if (!FindFamily(shape.family)->tokenizer) {
    return absl::UnimplementedError(
        absl::StrCat("vq trains tokenizers of images, and family ", shape.family, " is none"));
  }
  if (device.cuda) {
    return absl::UnimplementedError("tokenizers are trained on CPUs: use device cpu");
  }
  if (precision != run::Precision::kFp32) {
    return absl::UnimplementedError(
        absl::StrCat("vq computes in fp32 and not in ", run::NameOf(precision)));
  }
  return std::make_unique<VqStep>(shape, layout);
}

absl::StatusOr<std::unique_ptr<ImageTokenizer>> CreateImageTokenizer(
    const Shape& shape, std::vector<float> parameters) {
  ALLO_RETURN_IF_ERROR(ValidateVq(shape));
  ALLO_ASSIGN_OR_RETURN(const ParameterLayout layout, LayoutOf(shape));
  if (static_cast<int64_t>(parameters.size()) != layout.size) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tokenizer of ", layout.size, " numbers was given ", parameters.size()));
  }
  return std::make_unique<FrozenTokenizer>(shape, layout, std::move(parameters));
}

}  // namespace allometry::models
