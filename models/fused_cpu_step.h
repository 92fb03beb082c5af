// The training step for CPUs: forward and backward by hand, fp32, one thread, no LibTorch.
//
// The same mathematics as autograd_step.h. What makes it fast on small models: no dispatch per
// operation; a few sequences at a time, so that activations stay in the level-2 cache; only the
// causal half of attention; GELU's derivative computed beside GELU; the layer norms' gains and
// biases folded into the weights behind them; one register-tiled product over weights packed once a
// step (fused_cpu/product.h); denormals flushed to zero.
//
// Bits depend on the inputs and on the instruction set (instruction_set.h), not on where buffers
// lie.
#pragma once

#include <memory>

#include "models/train_step.h"

namespace allometry::models {

// Unimplemented on CUDA and for shapes that would need more than 512 MiB of activations; other
// errors where ALLO_ISA asks for an instruction set that is not known or not here. Not
// thread-safe: one step, one thread. No allocation once a batch of the largest size was seen.
absl::StatusOr<std::unique_ptr<TrainStep>> CreateFusedCpuStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device,
                                                              run::Precision precision);

}  // namespace allometry::models
