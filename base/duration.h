// Times with their units, as people write them on command lines and in sweep files: 500ms, 30s.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry {

inline constexpr double kSecondsPerYear = 366 * 86'400.0;  // the longest time that an option takes

// In seconds: a number of 0 or more with the unit ms, s, m, h or d; 0 needs none. InvalidArgument
// completes a sentence about the text: "is not a time with its unit, such as ...".
absl::StatusOr<double> ParseDuration(absl::string_view text);

// The same time in the largest unit that makes a whole number of it: 500ms, 90s, 10m, 0s.
// ParseDuration reads it.
std::string FormatDuration(double seconds);

}  // namespace allometry
