#include "models/vq_forward.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "base/check.h"

namespace allometry::models {
namespace {

using Kind = VqOp::Kind;
constexpr double kNormEpsilon = 1e-5;

int64_t GroupsOf(int64_t channels) {
  int64_t groups = 8;
  while (channels % groups != 0) groups /= 2;
  return groups;
}

class Running {
 public:
  Running(std::span<const at::Tensor> tensors, at::Tensor x)
      : tensors_(tensors), x_(std::move(x)) {}

  void Run(const VqOp& op) {
    switch (op.kind) {
      case Kind::kConvolution: {
        const auto [weight, bias] = NextTwo();
        x_ = at::conv2d(x_, weight, bias, op.stride, (op.kernel - op.stride) / 2);
        break;
      }
      case Kind::kTransposed: {
        const auto [weight, bias] = NextTwo();
        x_ = at::conv_transpose2d(x_, weight, bias, op.stride, /*padding=*/1);
        break;
      }
      case Kind::kGroupNorm: {
        const auto [gain, bias] = NextTwo();
        x_ = at::group_norm(x_, GroupsOf(op.in), gain, bias, kNormEpsilon);
        break;
      }
      case Kind::kLayerNorm: {
        const auto [gain, bias] = NextTwo();
        x_ = at::layer_norm(x_.permute({0, 2, 3, 1}), {op.in}, gain, bias, kNormEpsilon)
                 .permute({0, 3, 1, 2});
        break;
      }
      case Kind::kRelu:
        x_ = at::relu(x_);
        break;
      case Kind::kSilu:
        x_ = at::silu(x_);
        break;
      case Kind::kGelu:
        x_ = at::gelu(x_);
        break;
      case Kind::kPositions:
        x_ = x_ + Next();
        break;
      case Kind::kAttention:
        Attend(op);
        break;
      case Kind::kKeep:
        kept_.push_back(x_);
        break;
      case Kind::kAdd:
        x_ = kept_.back() + x_;
        kept_.pop_back();
        break;
      case Kind::kPool:
        x_ = at::adaptive_avg_pool2d(x_, {op.side, op.side});
        break;
      case Kind::kResize:
        x_ = at::upsample_bilinear2d(x_, {op.side, op.side}, /*align_corners=*/false);
        break;
      case Kind::kDouble:
        x_ = at::upsample_nearest2d(x_, {op.side, op.side});
        break;
      case Kind::kUnpatch:
        x_ = at::pixel_shuffle(x_, op.stride);
        break;
    }
  }

  at::Tensor Result() {
    ALLO_CHECK(next_ == tensors_.size() && kept_.empty());
    return std::move(x_);
  }

 private:
  const at::Tensor& Next() {
    ALLO_CHECK(next_ < tensors_.size());
    return tensors_[next_++];
  }
  std::pair<at::Tensor, at::Tensor> NextTwo() {
    const at::Tensor& first = Next();
    return {first, Next()};
  }

  void Attend(const VqOp& op) {
    const int64_t count = x_.size(0), places = int64_t{op.side} * op.side, width = op.in;
    const auto [qkv_weight, qkv_bias] = NextTwo();
    const auto [out_weight, out_bias] = NextTwo();
    const at::Tensor rows = x_.permute({0, 2, 3, 1}).reshape({count, places, width});
    const at::Tensor qkv = at::linear(rows, qkv_weight, qkv_bias);
    const auto heads = [&](int64_t part) {
      return qkv.narrow(2, part * width, width)
          .view({count, places, op.heads, width / op.heads})
          .transpose(1, 2);
    };
    const at::Tensor mixed = at::scaled_dot_product_attention(heads(0), heads(1), heads(2));
    const at::Tensor joined = mixed.transpose(1, 2).reshape({count, places, width});
    x_ = at::linear(joined, out_weight, out_bias)
             .view({count, op.side, op.side, width})
             .permute({0, 3, 1, 2});
  }

  const std::span<const at::Tensor> tensors_;
  size_t next_ = 0;
  at::Tensor x_;
  std::vector<at::Tensor> kept_;
};

}  // namespace

at::Tensor VqInput(const Shape& shape, std::span<const uint8_t> images) {
  const int64_t bytes = int64_t{shape.image_height} * shape.image_width * shape.image_channels;
  const auto count = static_cast<int64_t>(images.size()) / bytes;
  ALLO_CHECK(static_cast<int64_t>(images.size()) == count * bytes) << images.size();
  return (at::from_blob(const_cast<uint8_t*>(images.data()),
                        {count, shape.image_height, shape.image_width, shape.image_channels},
                        at::TensorOptions().dtype(at::kByte))
              .permute({0, 3, 1, 2})
              .to(at::kFloat)
              .contiguous() /
          255) -
         0.5;
}

at::Tensor RunVq(std::span<const VqOp> ops, std::span<const at::Tensor> tensors, at::Tensor x) {
  Running running(tensors, std::move(x));
  for (const VqOp& op : ops) running.Run(op);
  return running.Result();
}

at::Tensor VectorsOf(const at::Tensor& grid) {
  return grid.permute({0, 2, 3, 1}).reshape({-1, grid.size(1)});
}

at::Tensor GridOf(const at::Tensor& vectors, int64_t count, int64_t side) {
  return vectors.view({count, side, side, vectors.size(1)}).permute({0, 3, 1, 2});
}

std::vector<int32_t> NearestCodes(const at::Tensor& codebook, const at::Tensor& vectors) {
  const at::NoGradGuard no_grad;
  const at::Tensor lengths = (codebook * codebook).sum(1) / 2;
  const at::Tensor distances =
      at::addmm(lengths, vectors, codebook.t(), /*beta=*/1, /*alpha=*/-1).contiguous();
  const int64_t codes = codebook.size(0);
  std::vector<int32_t> nearest(static_cast<size_t>(vectors.size(0)));
  const float* row = distances.const_data_ptr<float>();
  for (int32_t& id : nearest) {
    // A pass for the least value and one for its first place: the compiler vectorises the former.
    float least = row[0];
    for (int64_t k = 1; k < codes; ++k) least = row[k] < least ? row[k] : least;
    id = 0;
    while (id + 1 < codes && !(row[id] <= least)) ++id;
    row += codes;
  }
  return nearest;
}

}  // namespace allometry::models
