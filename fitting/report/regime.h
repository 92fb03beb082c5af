// Does a larger model get better? The regimes of loss over size at a fixed data budget.
//
// Per environment, world models on a limited dataset either improve monotonically beyond the
// interpolation threshold or get worse with size (the Atari scaling study of the seeds, which gives
// no criterion). Ours, over sizes N_1 < .. < N_m with several seeds each, mean losses l(N_i), d the
// pooled standard deviation of a seed, SE the standard error of a difference of two means:
//
//   double descent  a rise between two falls, each over 2 SE
//   classical       the least mean is interior and l(N_m) is over 2 SE above it
//   monotone        l(N_1) is over 2 SE above l(N_m), and over resampled seeds (B = 1000)
//                   P[any l(N_i+1) > l(N_i) + d] < 0.05
//   undetermined    otherwise: flat, or too noisy
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

enum class Regime { kMonotone, kClassical, kDoubleDescent, kUndetermined };
std::string Name(Regime regime);  // "monotone", "classical", "double-descent", "undetermined"

struct SizeLosses {
  double params = 0;
  std::vector<double> losses;  // one a seed
};

struct RegimeReport {
  Regime regime = Regime::kUndetermined;
  std::string reason;
  std::vector<double> means;    // ascending in params
  double seed_deviation = 0;    // d
  double rise_probability = 0;  // P[any l(N_i+1) > l(N_i) + d]
  Estimate worst_rise;          // max l(N_i+1) - l(N_i); percentiles of the resampled seeds
};

// INVALID_ARGUMENT: fewer than three sizes, a size without a loss, no size with two, or a loss that
// is not finite.
absl::StatusOr<RegimeReport> ClassifyRegime(std::vector<SizeLosses> sizes, uint64_t seed = 0,
                                            int resamples = 1000);

}  // namespace allometry::fitting
