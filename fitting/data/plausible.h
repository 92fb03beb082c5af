// Whether values are what their column says: counts of parameters and tokens, FLOPs, nats.
//
// A table in millions, in PF-days or in bits fits as smoothly as one in the right unit, and its
// answer is wrong by the unit. Four things betray it: counts that no model or run has, fractions
// where a count is whole, C / (6 N D) that is one number far from 1 in every row, and losses that
// follow those of language models at 1.44 (bits) or beyond ln(vocabulary) (perplexity). None of
// them says what is right, so each is a question that names the option that answers.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/layout.h"
#include "fitting/data/observation.h"

namespace allometry::fitting {

inline constexpr double kFewestFlops = 1e8;  // of a column that is called c alone

struct ValueRange {
  double lowest = 0, highest = 0;
  int64_t values = 0;
  std::string Text() const;  // "8 to 16"
};
ValueRange RangeOf(const std::vector<double>& values);

// Positive, the largest at least a thousand, small ones without fractions.
bool LikeCounts(const std::vector<double>& values);
// Between 0 and 30 and not all whole.
bool LikeLosses(const std::vector<double>& values);

// C / (6 N D) over rows that have all three.
struct ComputeRatio {
  double median = 1;
  double lowest = 1, highest = 1;  // 5 % and 95 %
  double range = 1;                // of 6 N D: highest over lowest
  int64_t rows = 0;
  // The same factor in every row, though the rows' 6 N D differ.
  bool IsOneFactor() const;
};
ComputeRatio RatioOf(const std::vector<double>& params, const std::vector<double>& tokens,
                     const std::vector<double>& flops);

// INVALID_ARGUMENT, with the option that answers, where the table as a whole contradicts itself or
// holds magnitudes that no model has. Rows that alone contradict the others are excluded with their
// reason.
absl::Status CheckPlausible(const TableLayout& layout, const CsvOptions& options,
                            const std::string& name, Observations& observations);

}  // namespace allometry::fitting
