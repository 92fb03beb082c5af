// The lines and cells of reports as text: wrapped sentences, numbers with their intervals.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/observation.h"
#include "fitting/data/result.h"

namespace allometry::fitting {

inline constexpr size_t kColumns = 100;  // of a report as text

// Appends `text` broken at spaces to lines of at most kColumns, continued under `indent`.
void Wrap(const std::string& text, size_t indent, std::string& out);

inline constexpr size_t kListedExclusions = 5;
// A line for each of the first of them: where, why, how many points.
void ListExclusions(const std::vector<Exclusion>& exclusions, std::string& out);

// 9.72e10: no plus sign, no leading zero.
std::string Short(double value, int digits);
// N, D, FLOPs: "9.72e10 8.1e10..1.2e11"; "-" where there is none, "not determined" where the
// interval is too wide to say anything.
std::string ShortCell(const Estimate& estimate);
// A loss: "2.1426 2.101..2.184".
std::string LossCell(const Estimate& estimate);

}  // namespace allometry::fitting
