// The forward pass of the image encoder (image_encoder.h) on LibTorch.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "models/shape.h"

namespace allometry::models {

// u8 [images, height, width, channels] -> float [images, shape.width]. `tensors` are those of
// EncoderTensors, in order, on the images' device.
at::Tensor EncodeImages(const Shape& shape, std::span<const at::Tensor> tensors,
                        const at::Tensor& images);

}  // namespace allometry::models
