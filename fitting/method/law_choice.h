// Which law, where the user did not name one (`--law auto`).
//
// The standard law L = E + A/N^alpha + B/D^beta is taken unless its residuals have a pattern
// (fitting/interval/lack_of_fit.h). Then the coupled law L = E + (A/N^alpha + B/D^beta)^gamma is
// tried, in which a shortage of parameters and one of data make each other worse or milder; it is
// taken if it can be identified and leaves no such pattern. Both are looked at in the window that
// was asked for, or that each law chooses. N*, D* and L* are never looked at.
#pragma once

#include <string>

#include "fitting/data/cluster.h"
#include "fitting/method/view.h"

namespace allometry::fitting {

struct LawChoice {
  LawKind law = LawKind::kStandard;
  std::string why;  // a sentence for the report; empty for the standard law
};

// `clusters`: of the view's points.
LawChoice ChooseLaw(const DataView& view, const Clusters& clusters, const FitOptions& options);

}  // namespace allometry::fitting
