// What a sweep leaves that does not depend on time, and how two of them differ.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/deployment.h"

namespace allometry::testing {

struct SweepResult {
  // CSV lines, the first being the names of the columns, without the column that says which attempt
  // a line is of. Series that measure time are left out (they are outside bit-identity).
  std::vector<std::string> points;
  std::vector<std::string> observations;
  std::string fit_json;  // of `allo fit --json`; empty where it was not asked for
};

SweepResult ResultOf(const Deployment& deployment, const std::string& sweep, bool with_fit);

// Points that are there twice: run, size, series and step are their key.
std::vector<std::string> Repeated(const std::vector<std::string>& points);
// A sentence for each of the first differences; empty: the same bit for bit.
std::vector<std::string> Differences(const SweepResult& expected, const SweepResult& result);

// Every run SUCCEEDED at its last step and every cell is done; otherwise a sentence for each that
// is not.
std::vector<std::string> Unfinished(const v1::GetSweepResponse& sweep);
// No run is PENDING or LEASED.
bool HasEnded(const v1::GetSweepResponse& sweep);

}  // namespace allometry::testing
