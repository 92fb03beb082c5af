#pragma once

#include <memory>

#include "models/guarded_update.h"

namespace allometry::models::cuda {

// On the GPU `device`, on LibTorch's current stream, in three launches (kernels.h).
std::unique_ptr<GuardedUpdate> CreateUpdate(const ParameterLayout& layout,
                                            const AdamWOptions& options, Device device);

}  // namespace allometry::models::cuda
