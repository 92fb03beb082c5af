// Two sweeps beside each other: do their laws differ, and what is one worth in compute of the
// other?
//
// The difference of two exponents has an interval of its own, which neither fit says. With sweeps
// whose errors are independent the variances of both add:
//
//   first - second  +-  t(.975, df) sqrt(s1^2 + s2^2),   df of Welch and Satterthwaite
//
// where s is each interval's half-width over its own quantile, on the scale on which the interval
// was made (logarithms of N* and D*, whose differences are shown as ratios). Sweeps whose sizes
// share their errors, as the same runs under two counts, or the same seeds and order of data under
// two settings, are compared in pairs: every size is left out of both at once, both are fitted
// again with the law and the window of the whole, and the spread of the differences is their
// delete-one jackknife, t with one degree of freedom less than there are sizes.
//
// Compute multiplier. The factor m by which the second sweep's C must grow to have the loss that
// the first has at C: L1*(C) = L2*(m C). Above 1 the first is the more efficient. Its variance is
// that of both losses over the slope of the second's curve, dL2* / d ln C.
//
// A method that the data of either sweep contradict has no interval here, and the reason.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

struct ComparedQuantity {
  std::string quantity;         // "a", "alpha", "beta", "E", "params", "tokens", "loss", "compute"
  std::string method;           // "parametric", ...
  std::optional<double> flops;  // the budget, where there is one
  bool is_ratio = false;        // `change` is first / second, otherwise first - second
  Estimate first, second;       // of the compute multiplier both losses
  Estimate change;
  std::optional<bool> differ;             // the interval does not hold 0 (1 of ratios)
  std::optional<std::string> not_usable;  // why there is no interval
};

struct Comparison {
  FitReport first, second;
  std::vector<ComparedQuantity> rows;
  bool paired = false;
  int clusters = 0;  // sizes that both have, where paired
  std::string verdict;
  std::vector<std::string> notes;
};

// Both with the same options. Budgets of none are the smaller of the two largest C.
// INVALID_ARGUMENT as Fit, and for `paired` with fewer than five sizes in common.
absl::StatusOr<Comparison> Compare(const Observations& first, const Observations& second,
                                   const FitOptions& options, bool paired);

// `first` and `second` are what the person calls them.
std::string CompareText(const Comparison& comparison, const std::string& first,
                        const std::string& second);
// {"first", "second", "paired", "verdict", "rows": [...], "notes", "fits": [object of each fit]}
std::string CompareJson(const Comparison& comparison, const std::string& first,
                        const std::string& second);

}  // namespace allometry::fitting
