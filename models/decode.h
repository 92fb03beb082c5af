// A trained transformer, one token after the other: what evaluations and imagined roll-outs sample
// from. Keys and values of earlier tokens are kept, so a token costs 2 N FLOPs and its attention.
//
//   decoder->Begin(parameters, rows, capacity);
//   decoder->Append(prompt, n);                             // tokens [rows, n], row-major
//   decoder->Logits(segment, logits);                       // of what follows the last token
//   token = SampleToken(logits of a row, Uniform(seed, number of the row, position));
//
// All rows stand at the same position. A row's logits have the same bits whichever rows are
// computed with it and in whatever pieces its tokens came; they equal the training forward's
// (train_step.h) to rounding. Bits depend on the instruction set (instruction_set.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "models/train_step.h"

namespace allometry::models {

// The ids begin <= id < end: those that can stand at a place.
struct Segment {
  int32_t begin = 0;
  int32_t end = 0;

  int32_t size() const { return end - begin; }
};

// Computes on the CPU with one thread. Not thread-safe.
class Decoder {
 public:
  virtual ~Decoder() = default;

  // Starts `rows` empty sequences. `parameters` is read here and in Append. `capacity` is the most
  // tokens that a row will get: InvalidArgument unless rows >= 1 and 1 <= capacity <= context.
  virtual absl::Status Begin(std::span<const float> parameters, int rows, int capacity) = 0;

  // Token t of row r is tokens[r * n + t]. InvalidArgument for n < 1 or an id outside the
  // vocabulary; OutOfRange where the rows would become longer than the capacity; nothing was
  // appended then.
  virtual absl::Status Append(std::span<const int32_t> tokens, int n) = 0;

  // out [rows, ids.size()]: the logits of the segment's ids behind each row's last token.
  // FailedPrecondition before the first Append, InvalidArgument for ids outside the vocabulary.
  virtual absl::Status Logits(Segment ids, std::span<float> out) = 0;

  // Tokens of each row so far.
  virtual int length() const = 0;
};

// Unimplemented with the reason for models that read images, and for shapes that fused_cpu_step.h
// does not take.
absl::StatusOr<std::unique_ptr<Decoder>> CreateDecoder(const Shape& shape,
                                                       const ParameterLayout& layout);

// Counter-based: a number in [0, 1) for each (seed, row, position), the same on every machine, in
// whatever order they are asked for.
double Uniform(uint64_t seed, uint64_t row, uint64_t position);

// The least index whose running sum of softmax(logits) exceeds u, for u in [0, 1); the last index
// of those that have a probability where rounding leaves none.
int SampleToken(std::span<const float> logits, double u);

}  // namespace allometry::models
