// The learning-rate ladder: which rates to try for which model size, and which to take.
//
// Pearce et al. (2025), section 3.4 and appendix A.2: sweep the rate on the smallest model, then on
// each next larger one, starting at the optimum before. Here:
//
//   first size   the rates of the rule
//   next size    (p / ratio, p, p ratio), p the rate chosen for the size before
//   one size     the argmin of the held-out loss at the tuning budget. At an end of its rates, one
//                rate more on that side, until it lies between two that are worse or max_widen
//                rates were added. A neighbour within tie_tolerance of it (relative) is a tie: the
//                rate halfway between them in log is tried too, once, and the least loss of all is
//                taken. Of equal losses the smaller rate. A run that diverged has infinite loss.
//
// State machine of a size: not begun -> measuring -> chosen | blocked. It is blocked where the
// optimum stays at an end after max_widen rates (unless accept_edge), or a run failed otherwise
// than by diverging: nothing goes on until the rule is changed or the run retried. A larger size
// begins when the one before has its rate.
//
// Rates are rounded to three significant digits. A rate that is a rate of the rule times a power of
// ratio^(1/2) is rounded from that product, so that half steps up and down give the same rate again
// (0.008, as the file has it, and not 0.00799).
//
// Pure: the same rule and results give the same decision, in whatever order the results came,
// because a size is decided only when all of its rates are measured.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace allometry::stages {

struct LadderRule {
  std::vector<double> rates;  // of the first size, ascending, at least one
  double ratio = 2;           // between neighbours, above 1
  int max_widen = 4;          // rates added to those that a size begins with
  bool half_octave_on_ties = true;
  double tie_tolerance = 0.002;  // relative difference of two losses
  bool accept_edge = false;      // take an optimum at an end once max_widen is used up

  bool operator==(const LadderRule&) const = default;
};

enum class TrialState { kMissing, kMeasured, kDiverged, kFailed };

// What is known of one rate of one size.
struct Trial {
  double rate = 0;
  TrialState state = TrialState::kMissing;
  double loss = 0;     // nats a token, when measured
  std::string reason;  // of a failure: "run 7 failed: OOM ..."
};

struct LadderSize {
  std::string label;
  double trial_flops = 0;         // of one tuning run
  std::vector<Trial> trials;      // in any order; those that the rule does not ask for are not read
  std::optional<double> decided;  // the rate as it was chosen and stored before; it stays
};

struct SizeDecision {
  std::string label;
  std::vector<Trial> trials;  // tried or needed now, by ascending rate
  std::optional<double> chosen;
  bool at_edge = false;  // chosen at an end of its rates, as accept_edge allows
  bool blocked = false;
  std::string sentence;
};

struct LadderDecision {
  std::vector<SizeDecision> sizes;  // those that have begun, in the order of the sizes
  bool done = false;                // every size has its rate
  bool blocked = false;             // no run is missing, and it is not done
};

// `sizes` from the smallest model to the largest. A size that was added below all decided ones
// begins at the optimum of the next larger size.
LadderDecision DecideLadder(const LadderRule& rule, absl::Span<const LadderSize> sizes);

// What tuning the sizes without a decided rate costs: at least (nothing is widened, no ties) and at
// most. FLOPs are of whole tuning runs; the grid continues the run at the chosen rate.
struct LadderCost {
  int least_runs = 0;
  int most_runs = 0;
  double least_flops = 0;
  double most_flops = 0;
};
LadderCost CostOfLadder(const LadderRule& rule, absl::Span<const LadderSize> sizes);

// "tunes the smallest size over 3 rates from 0.003 to 0.012, each next from ..."
std::string LadderRuleText(const LadderRule& rule);

}  // namespace allometry::stages
