// Runs and budgets as the lines of a difference name them.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// The shortest text that gives the same double back.
std::string Exact(double value);
// "1 run", "3 runs".
std::string Plural(size_t count, absl::string_view word);

// "40k", and what tells it from the other runs of its size: "40k learning rate 0.003 seed 2",
// "trunk 40k", "40k to step 244", "evaluation of 40k".
std::string RunName(const v1::Run& run, absl::Span<const v1::Run> all);
// The same of the (size, rate, seed) that a run is of, whatever its schedule does.
std::string CurveName(const v1::Run& run, absl::Span<const v1::Run> all);

// "1e12 FLOPs" or "3M tokens", as the cell was asked for.
std::string BudgetText(const v1::Cell& cell);

}  // namespace allometry::sweep
