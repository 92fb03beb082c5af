// How the training FLOPs of a token are counted, in cells, budgets, plans and fits of a sweep.
#pragma once

#include "run/choices.h"

namespace allometry::run {

// 6 N, with N under the sweep's count of parameters; or every product that the model computes,
// forward and backward (models/shape.h).
enum class FlopsConvention { k6nd, kExact };
// Stored: do not change.
inline constexpr Choice<FlopsConvention> kFlopsConventions[] = {{FlopsConvention::k6nd, "6nd"},
                                                                {FlopsConvention::kExact, "exact"}};
constexpr absl::Span<const Choice<FlopsConvention>> ChoicesOf(FlopsConvention) {
  return kFlopsConventions;
}

}  // namespace allometry::run
