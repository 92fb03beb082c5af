// The loss of models/autograd_step.h's network in double, by plain loops: an oracle that shares
// nothing with the backends.
#pragma once

#include <span>
#include <vector>

#include "models/train_step.h"

namespace allometry::models {

// Mean cross-entropy of the batch's targets that count, or their weighted sum, in nats.
double DoubleLoss(const Shape& shape, const ParameterLayout& layout,
                  std::span<const double> parameters, const Batch& batch);

}  // namespace allometry::models
