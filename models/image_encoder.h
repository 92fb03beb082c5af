// The trainable image encoder of the BC-CNN families, as arithmetic: its tensors and its FLOPs.
// Pearce et al. 2025 give it 0.6M parameters and an output of 1024 ("similar to VPT's Impala CNN,
// with ConvNeXt blocks"); the rest is our choice. With c base channels (32; 8 for "lite"):
//
//   [h, w, channels] / 255 - 0.5
//   4x4 convolution of stride 4 to c, layer norm                       -> [h/4, w/4, c]
//   ConvNeXt block of c
//   layer norm, 2x2 convolution of stride 2 to 2c, ConvNeXt block      -> [h/8, w/8, 2c]
//   layer norm, 2x2 convolution of stride 2 to 4c, ConvNeXt block      -> [h/16, w/16, 4c]
//   layer norm, 1x1 convolution to 6, flattened (place matters to an actor), linear to 32c, GELU
//   linear to the transformer's width
//
// with the block x += down(GELU(up(LN(7x7 depthwise convolution(x))))), up to 4c (Liu et al. 2022,
// without layer scale). At 128x128x3 it has 0.62M parameters before the last line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/shape.h"

namespace allometry::models {

struct EncoderTensor {
  std::string name;            // "encoder.stage_1.depthwise.weight"
  std::vector<int64_t> shape;  // row-major, PyTorch's conventions
  // Multiply-adds of one image with it: a convolution's weight counts once a place of its output.
  int64_t multiply_adds = 0;

  int64_t size() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
};

// In the order of use; empty for families without images. The shape must be valid.
std::vector<EncoderTensor> EncoderTensors(const Shape& shape);

inline constexpr int kEncoderStages = 3;
inline constexpr int kEncoderStride = 16;  // image sides are multiples of this

}  // namespace allometry::models
