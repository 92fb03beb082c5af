// How many sequences to take through a model at once, so that what is kept for the backward pass
// fits in memory. Pure arithmetic: the same on every machine, and the same as in a plan's memory
// estimate.
#pragma once

#include <cstdint>

#include "models/shape.h"
#include "run/choices.h"

namespace allometry::models {

// Bytes kept for the backward pass of one sequence by the autograd step, whose attention keeps no
// weights:  4 T (20 L d + 3 V), and of an image encoder 16 floats a channel and place of each
// stage; of a tokenizer what all its operations give. Measured with bench/presets: 0.8 of the
// estimate at 5560 tokens. In bf16  T (2 * 20 L d + (2 * 2 + 3 * 4) V): the logits and their
// gradient are there in bf16 too, besides the loss's fp32.
double SequenceActivationBytes(const Shape& shape,
                               run::Precision precision = run::Precision::kFp32);

// 0, everything at once, where `sequences` (a rank's share of a batch) fit into `bytes`; otherwise
// the size of the fewest equal parts that do, at least 1.
int MicroBatchFor(const Shape& shape, int64_t sequences, double bytes,
                  run::Precision precision = run::Precision::kFp32);

}  // namespace allometry::models
