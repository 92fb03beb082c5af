// K models of one shape, trained as one: every product of theirs is one batched product, so that
// small models fill a GPU which one of them would leave idle. The model is that of autograd_step.h:
//
//   x_k  = wte_k[token_k] + the rows of positions.h                          k = 0 .. K - 1
//   x_k += proj_k(attention(LN_k(x_k)));  x_k += proj_k(GELU(fc_k(LN_k(x_k))))   for each block
//   logits_k = LN_k(x_k) wte_k^T;  loss_k = mean cross-entropy of batch k
//
// Nothing of one model reaches another, NaN neither. A model's bits are a function of its own
// parameters and batch and of K alone: not of its place among the K, and not of what the others
// hold. They differ in the last bits from those of the model by itself (autograd_step.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "models/train_step.h"

namespace allometry::models {

inline constexpr int kMostStacked = 64;

// InvalidArgument where an input, or a target that counts, is outside of the vocabulary: of stacked
// models it would read another one's table.
absl::Status CheckTokens(const Batch& batch, int vocabulary);

class StackedStep {
 public:
  virtual ~StackedStep() = default;

  // From one model's parameters to the next one's in the flat buffers, in elements: the least that
  // holds ParameterLayout::size and keeps all models aligned alike.
  virtual int64_t stride() const = 0;

  // For each k, with m_k the mean cross-entropy of the targets of batches[k] that count (or their
  // weighted sum, Batch::weights), in nats:
  //   gradients[k] += weight * dm_k/d(parameters[k]),   *losses[k] += weight * m_k.
  // `parameters` and `gradients`, [K, stride()] fp32, and `losses` lie on the step's device; on
  // CUDA the call only enqueues work. The batches have one size and passed CheckTokens, and the
  // same positions count in all of them (InvalidArgument otherwise, and where none counts).
  virtual absl::Status LossesAndGradients(std::span<const float> parameters,
                                          std::span<const Batch> batches, float weight,
                                          std::span<float> gradients,
                                          std::span<double* const> losses) = 0;
};

// Unimplemented with the reason where models of this shape or precision are not stacked: families
// of images, tokenizers, bf16. InvalidArgument where `models` is not 1..kMostStacked.
absl::StatusOr<std::unique_ptr<StackedStep>> CreateStackedStep(const Shape& shape,
                                                               const ParameterLayout& layout,
                                                               int models, Device device,
                                                               run::Precision precision);

}  // namespace allometry::models
