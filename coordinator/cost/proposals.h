// Which new cells narrow an interval most for their cost.
//
// The expected half width of a target's interval is a function of the design: the N and D of every
// evaluation, a law and the covariance of its errors (fitting/design/expected_width.h). A candidate
// adds points to the design and FLOPs to the bill; it is worth
//
//   (width without it - width with it) / FLOPs that it adds
//
// Candidates are chosen one after the other, each given those before it, because two cells with the
// same information are worth little more than one. At most one budget of a curve (a size) is
// chosen. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "fitting/data/observation.h"
#include "fitting/data/options.h"
#include "fitting/design/pilot.h"
#include "fitting/law/quantity.h"

namespace allometry::cost {

struct Candidate {
  std::string curve;                         // candidates of one curve exclude each other
  double flops = 0;                          // that it adds, more than 0
  std::vector<fitting::Observation> points;  // that it adds to the design
};

struct Choice {
  size_t candidate = 0;   // its place
  double width_now = 0;   // of the target's interval, with the choices before it
  double width_then = 0;  // and with it
};

struct Choices {
  std::vector<Choice> best;  // in the order of choice
  std::string reason;        // why there is none, or fewer than asked
};

// At most `count` choices; none that narrows the width by less than 0.1 %. Curves of more than 60
// points are thinned evenly, which changes the width little: neighbouring points share most of
// their error. `is_gone`: whether nobody waits for the choices any more; asked before each width,
// and then there are none.
Choices ChooseCandidates(const std::vector<fitting::Observation>& design,
                         absl::Span<const Candidate> candidates, const fitting::Pilot& pilot,
                         const fitting::Objective& objective, const fitting::Quantity& target,
                         int count, const std::function<bool()>& is_gone = {});

}  // namespace allometry::cost
