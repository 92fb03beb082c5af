#include "coordinator/sweep/evaluation_steps.h"

#include <cmath>

namespace allometry::sweep {

std::vector<int64_t> LogSpacedSteps(int per_decade, int64_t first, int64_t last) {
  std::vector<int64_t> steps;
  for (int k = 0;; ++k) {
    const int64_t step = std::llround(std::pow(10.0, static_cast<double>(k) / per_decade));
    if (step > last) return steps;
    if (step > first && (steps.empty() || steps.back() < step)) steps.push_back(step);
  }
}

}  // namespace allometry::sweep
