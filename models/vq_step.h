// The training step of the tokenizers of images, on LibTorch's autograd, on CPUs.
//
//   e = Enc(o),  k* = argmin_k |e - c_k|^2,  e^ = e + sg(c_k* - e)            straight through
//   L = mean over pixels of (o - Dec(e^))^2  +  0.25 mean over e of (e - sg(c_k*))^2
//
// (van den Oord et al. 2017; pixels are scaled to a range of 1.) Losses are the images' mean
// squared errors alone, at the first position of each.
//
// The flat buffer has the networks' tensors (vq_network.h), which AdamW trains, and behind them
// what moving averages train (codebook.h): quantizer.codebook [K, w], quantizer.counts [K],
// quantizer.sums [K, w]. In the gradient the places of counts and sums take what the batch adds,
// and candidates for dead codes follow behind the layout, so that ranks and micro-batches add up;
// AfterUpdate then moves the codebook.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/train_step.h"

namespace allometry::models {

// Unimplemented for families that are no tokenizers, and on CUDA. One step, one thread.
absl::StatusOr<std::unique_ptr<TrainStep>> CreateVqStep(const Shape& shape,
                                                        const ParameterLayout& layout,
                                                        Device device, run::Precision precision);

// A tokenizer that is trained no more.
class ImageTokenizer {
 public:
  virtual ~ImageTokenizer() = default;
  // u8 [count, height, width, channels] -> codes [count, g g], row by row. The codes of an image
  // may depend on `count` in the last bit of a tie: who wants the same ones asks in the same
  // groups.
  virtual void Encode(std::span<const uint8_t> images, std::span<int32_t> codes) const = 0;
  // And back, rounded to u8.
  virtual void Decode(std::span<const int32_t> codes, std::span<uint8_t> images) const = 0;
  // What the encoder makes of images before codes are chosen: [count, features()].
  virtual int64_t features() const = 0;
  virtual void Features(std::span<const uint8_t> images, std::span<float> out) const = 0;
};

// `parameters`: a flat buffer of LayoutOf(shape).
absl::StatusOr<std::unique_ptr<ImageTokenizer>> CreateImageTokenizer(const Shape& shape,
                                                                     std::vector<float> parameters);

}  // namespace allometry::models
