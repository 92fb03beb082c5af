// Numbers as people write them in sweep files: 5k, 1.2M, 3e10, 1_000.
#pragma once

#include <string>

#include "base/status.h"

namespace allometry::sweep {

// A decimal number, with an exponent (3e10) or one of the suffixes k (1e3), M (1e6), G or B (1e9),
// T (1e12); single underscores may stand between digits. Rounded once: 1.2M is exactly 1200000.
// InvalidArgument completes a sentence about the text: "is not a number such as 5k, ...".
absl::StatusOr<double> ParseNumber(absl::string_view text);

// At most four digits, without the zeros and signs of %g: 3e10, 1.25e8, 62.5, 4096.
std::string FormatNumber(double value);

}  // namespace allometry::sweep
