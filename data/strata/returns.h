// What the demonstrators "expert" and "random" get in a world: the ends of a scale for agents.
#pragma once

#include <cstdint>

#include "data/strata/spec.h"

namespace allometry::strata {

// Mean return of an episode of spec.frames steps, over `episodes` that are in no dataset.
struct MeanReturns {
  double expert = 0;
  double random = 0;
};
MeanReturns ReturnsOf(const Spec& spec, int64_t episodes);

}  // namespace allometry::strata
