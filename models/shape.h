// The arithmetic of model shapes: parameters by kind, N by policy, FLOPs by convention, and the
// buildable shape nearest to a wanted N. No LibTorch: the coordinator and the command line use it.
//
// GPT-2 block with biases, width d: qkv 3d^2+3d, projection d^2+d, MLP 8d^2+5d, two layer norms
// 4d, together 12d^2+13d. Trunk: L blocks and a final layer norm 2d; a token table V*d whose
// transpose is the head; a learned position table T*d. (Radford et al. 2019; Karpathy, nanoGPT.)
//
//   paper          blocks + token table + extra     what the tables of Pearce et al. 2025 count
//   total          everything
//   non-embedding  blocks + extra                   Kaplan et al. 2020
//   active         blocks + head matmul + extra     parameters a token's matmuls touch
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "run/run_spec.h"

namespace allometry::models {

// A row of the model table. All share the transformer; they differ in what a position's input is.
struct Family {
  const char* name;
  const char* what;
  // 0: a position is a token. Otherwise it is a frame: an image through a convolutional encoder of
  // so many base channels (image_encoder.h) plus, of each action dimension, the previous action's
  // row of the token table; the head, tied to that table, predicts each dimension's action
  // independently. The context counts frames, the vocabulary the actions of all dimensions.
  int encoder_channels;
  // A tokenizer of images (vq_network.h), trained by a stage of its own and never by a sweep's
  // grid: a position is a code of the image's grid, context = g^2, the vocabulary its codebook.
  bool tokenizer = false;
  // Of a tokenizer. It cuts the image into patches for a transformer; otherwise it is convolutions,
  // which halve the image, so its sides are multiples of what they halve.
  bool has_patches = false;
  // Of a tokenizer: weights begin as N(0, variance_gain / fan-in); 2 before a rectifier's half.
  double variance_gain = 1;
};
std::span<const Family> Families();
// nullptr where there is none of the name.
const Family* FindFamily(absl::string_view name);

using Shape = run::Shape;

// Each parameter in exactly one count.
struct ParamCounts {
  int64_t blocks = 0;              // L (12d^2+13d) + 2d; of a tokenizer both networks
  int64_t token_embedding = 0;     // V d; of a tokenizer its codebook
  int64_t position_embedding = 0;  // T d; of other positions the rows of models/positions.h
  int64_t head = 0;                // untied head; 0 when tied
  int64_t extra = 0;               // encoders

  int64_t total() const { return blocks + token_embedding + position_embedding + head + extra; }
};

enum class ParamPolicy { kPaper, kTotal, kNonEmbedding, kActive };

// Names as above; InvalidArgument lists them.
absl::StatusOr<ParamPolicy> ParseParamPolicy(absl::string_view name);
absl::string_view ParamPolicyName(ParamPolicy policy);

// InvalidArgument names the field when the shape cannot be built: every field positive, heads
// divides width, the family known; frame_tokens that divides the context where positions are
// not absolute, heads of an even width where they are rotary; image sides multiples of 16 where the
// family sees images, and 0 where it does not.
absl::Status Validate(const Shape& shape);

ParamCounts CountParams(const Shape& shape);
int64_t CountN(const ParamCounts& counts, ParamPolicy policy);

// 6 N.
double FlopsPerToken6N(const ParamCounts& counts, ParamPolicy policy);
// Forward and backward of every matmul: 6 (blocks' and head's matmul weights) + 12 L d Tbar, Tbar
// the mean attended length, (T+1)/2 for causal attention. Look-ups and element-wise work are free.
// Of a tokenizer's token its share of an image (VqFlopsPerImage). Of an image encoder 6 times the
// multiply-adds of an image: a convolution's weights count at every place, so this is far above 6
// times its parameters.
double FlopsPerTokenExact(const Shape& shape);

// How shapes are chosen for wanted counts of parameters.
struct ShapeRule {
  double aspect = 0;  // wanted width / layers; 0: 16 for the smallest models growing to GPT-2's 64
  // Width of a head: widths are its multiples, heads = width / head_dim. 0: widths in steps of 4
  // below 64 and of 8 from there, heads = width / 32 rounded down to a divisor of width, at
  // least 1 (of width / 2 where positions are rotary).
  int head_dim = 0;
};

// The buildable shape for a wanted N under `policy`, of 1 to 48 layers. Two things are weighed: the
// distance |N - params| / params on a scale of 5 %, and ln(width / layers / aspect); squares of
// both are added and the least sum wins. Deterministic. InvalidArgument when even the smallest
// shape is more than 25 % above `params`, with that smallest N.
//
// `like` gives the family, context, vocabulary, image size and positions; its layers, heads and
// width are ignored.
absl::StatusOr<Shape> NearestShape(int64_t params, ParamPolicy policy, const Shape& like,
                                   const ShapeRule& rule = {});

// Shapes for several counts, chosen together, in the order of `params`: along ascending counts the
// layers do not fall, and the change of ln(width / layers) between neighbours, beyond that of the
// wanted aspect, is weighed four times as much as the ratio itself. So one size more or less may
// change the shapes of others. Errors as NearestShape, of the smallest count.
absl::StatusOr<std::vector<Shape>> SmoothShapes(std::span<const int64_t> params, ParamPolicy policy,
                                                const Shape& like, const ShapeRule& rule = {});

}  // namespace allometry::models
