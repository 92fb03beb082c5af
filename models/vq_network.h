// The tokenizers of images, as arithmetic: which operations their networks are made of, the tensors
// of those and their cost. models/vq_forward.h runs the same list, so counts and network agree by
// construction.
//
// An image of side S becomes a grid of g x g codes, each one of K (shape.h: context = g^2,
// vocabulary = K). With h = width and codes of min(h, 32) numbers:
//
//   vqvae   van den Oord et al. 2017: 4x4 convolutions of stride 2 while a half is not below g,
//           `layers` residual blocks (3x3 to h/2, 1x1), a 1x1 convolution to the code; the decoder
//           is its mirror with transposed convolutions
//   vqgan   the network of Esser et al. 2021: at every resolution `layers` residual blocks (group
//           norm, SiLU, 3x3, twice), h/4 to h channels, attention at the smallest one
//   vit-vq  Yu et al. 2022: patches of ceil(S / g) pixels, `layers` transformer blocks with full
//           attention over the g^2 places, and as many in the decoder
//
// Where halving does not end at g (6 and 10 from a power of two), the encoders of vqvae and vqgan
// average over g x g overlapping bins (adaptive pooling) and the decoders begin with a bilinear
// resize; vit-vq resizes the image to g ceil(S / g) pixels before the patches, and back at the end.
// All three are trained on reconstruction alone: no perceptual and no adversarial loss.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/shape.h"

namespace allometry::models {

struct VqOp {
  enum class Kind {
    kConvolution,  // kernel, stride; padded so that the side is divided by the stride
    kTransposed,   // 4x4 of stride 2: the side doubles
    kGroupNorm,
    kLayerNorm,  // over the channels of a place
    kRelu,
    kSilu,
    kGelu,
    kPositions,  // adds a learned table
    kAttention,  // every place to every place
    kKeep,       // what the next kAdd adds
    kAdd,
    kPool,     // adaptive average to `side`
    kResize,   // bilinear to `side`
    kDouble,   // nearest
    kUnpatch,  // stride^2 channels of a place become stride x stride places
  };
  Kind kind = Kind::kConvolution;
  std::string name = "";  // of its tensors; empty where it has none
  int in = 0;             // channels
  int out = 0;
  int kernel = 0;
  int stride = 1;
  int heads = 1;
  int side = 0;  // of what comes out
};

struct VqTensor {
  std::string name;            // "encoder.down_0.weight"
  std::vector<int64_t> shape;  // row-major, PyTorch's conventions
  int64_t fan_in = 0;          // inputs that reach an output; 0: a bias; 1: a gain
  int64_t multiply_adds = 0;   // of one image

  int64_t size() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
};

// InvalidArgument names the field: a family that is no tokenizer, images that are not square or
// cannot be cut so, a width that is not a multiple of 8, a context that is no square.
absl::Status ValidateVq(const Shape& shape);

// Of a valid shape:
int GridSide(const Shape& shape);
int CodeWidth(const Shape& shape);
std::vector<VqOp> VqEncoder(const Shape& shape);  // [image_channels, S, S] -> [code, g, g]
std::vector<VqOp> VqDecoder(const Shape& shape);  // and back
// In the order in which the operation uses them.
std::vector<VqTensor> TensorsOf(const VqOp& op);
// Those of the encoder, then of the decoder.
std::vector<VqTensor> VqTensors(const Shape& shape);
// Forward and backward of every product of one image: 6 a multiply-add, attention included, and 2 a
// multiply-add of the distances to the codes, which have no backward. Element-wise work, pooling
// and resizing are free.
double VqFlopsPerImage(const Shape& shape);
// Single precision, kept for the backward pass of one image.
double VqActivationBytes(const Shape& shape);

}  // namespace allometry::models
