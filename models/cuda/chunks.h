#pragma once

#include <vector>

#include "models/cuda/kernels.h"
#include "models/train_step.h"

namespace allometry::models::cuda {

// The layout's views in order, neighbours that agree on weight decay together, cut to chunks.
std::vector<Chunk> ChunksOf(const ParameterLayout& layout);

}  // namespace allometry::models::cuda
