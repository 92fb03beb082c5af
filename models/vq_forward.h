// The tokenizers' networks on LibTorch: runs the operations of vq_network.h, and finds codes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "models/vq_network.h"

namespace allometry::models {

// u8 [count, height, width, channels] -> float [count, channels, height, width] in [-0.5, 0.5].
at::Tensor VqInput(const Shape& shape, std::span<const uint8_t> images);

// `tensors` are those of the operations, in order.
at::Tensor RunVq(std::span<const VqOp> ops, std::span<const at::Tensor> tensors, at::Tensor x);

// The vectors of a grid, [count, width, g, g] -> [count g g, width]: place by place, row by row.
at::Tensor VectorsOf(const at::Tensor& grid);
// And back.
at::Tensor GridOf(const at::Tensor& vectors, int64_t count, int64_t side);

// Of each row of `vectors` the nearest row of `codebook`, the first of several: argmin_k
// |c_k|^2 / 2 - e c_k.
std::vector<int32_t> NearestCodes(const at::Tensor& codebook, const at::Tensor& vectors);

}  // namespace allometry::models
