// Frontier-aware stopping: which sizes go on to the next budget of an isoFLOP grid, and which are
// past their compute-optimal range.
//
// Why it is safe. Let L = g(N) + B / D^beta and C = 6 N D, as in the laws that are fitted here
// (where g is E + A / N^alpha). Of two sizes n < m the difference at one C is
//
//   L(n) - L(m) = g(n) - g(m) - B (6 / C)^beta (m^beta - n^beta)
//
// which grows with C: two curves cross once, and a size that a larger one has beaten stays beaten,
// by more and more. So the best size never moves back to a smaller one. The frontier reads, at a C,
// the best size and two sizes on each side of it (fitting/method/frontier.h); one that lies further
// below is read at no larger C, where every further budget costs as much as anywhere.
//
// One pair of losses does not show that, because losses scatter. Of consecutive budgets b and b' a
// size stops after b' when, at both,
//
//   - the size of least loss is larger, with at least two measured sizes between them, and
//   - its own loss is above the least by more than `margin` of it,
//
// and that distance has grown from b to b'. Sizes are granted budgets one after the other: the
// third when every size that has a cell at the first two has its loss there, and so on. Nothing is
// trained that a decision could take back, so results depend on no timing. The `kept + 1` largest
// sizes can never stop and are granted all budgets at once.
//
// What it changes: sizes that stopped have no points at larger budgets. The frontier's minima are
// the same numbers; its interval is resampled about the parametric law and may differ. IsoFLOP
// parabolas, which go through all sizes of a budget, lose their far left; parametric fits lose
// points far from the optimum, and with them some of what they know of A and alpha. Fits say so.
//
// Of several seeds the mean loss of those that did not diverge. A run that failed otherwise blocks:
// nothing is granted until it is retried. A stop that is stored stays. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace allometry::stages {

struct StoppingRule {
  double margin = 0.01;         // relative, of two losses
  std::vector<double> budgets;  // FLOPs, ascending
};

enum class CellState { kLeftOut, kOpen, kMeasured, kDiverged, kFailed };

struct StoppingCell {
  CellState state = CellState::kLeftOut;  // the file has no such cell
  double loss = 0;                        // when measured
  std::string reason;                     // of a failure
};

struct StoppingSize {
  std::string label;
  std::vector<StoppingCell> cells;      // one a budget
  std::optional<double> stopped_after;  // FLOPs, as decided and stored before
};

struct SizeGrant {
  std::string label;
  double up_to = 0;          // FLOPs: its cells up to here are trained
  bool stopped = false;      // and no others
  bool stopped_now = false;  // by this decision
  std::string sentence;      // of a size that stopped
};

struct StoppingDecision {
  std::vector<SizeGrant> sizes;
  bool done = false;     // every size has stopped or all its budgets
  bool blocked = false;  // it waits for a person
  std::string waits;     // for what; empty when done
};

// `sizes` by ascending params.
StoppingDecision DecideStopping(const StoppingRule& rule, absl::Span<const StoppingSize> sizes);

// Whether a size with so many larger ones can ever stop.
bool CanStop(size_t larger_sizes);

std::string StoppingRuleText(const StoppingRule& rule);

}  // namespace allometry::stages
