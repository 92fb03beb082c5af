// The parametric law fitted to its window, and which law that is.
//
// Where the user did not name a law (`--law auto`), the standard law L = E + A/N^alpha + B/D^beta
// is taken unless its residuals have a pattern (fitting/interval/lack_of_fit.h). Then the coupled
// law L = E + (A/N^alpha + B/D^beta)^gamma is tried, in which a shortage of parameters and one of
// data make each other worse or milder; it is taken if it can be identified and leaves no such
// pattern. Both are looked at in the window that was asked for, or that each law chooses. N*, D*
// and L* are never looked at.
#pragma once

#include <optional>
#include <string>

#include "fitting/data/cluster.h"
#include "fitting/interval/lack_of_fit.h"
#include "fitting/method/view.h"
#include "fitting/method/window.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct LawFit {
  Problem problem;
  WindowChoice window;         // as asked for, or chosen
  WindowedView windowed;       // the view's points in it
  Clusters clusters;           // of those points
  Optimum optimum;             // of no points: refused
  std::optional<Theta> later;  // the law in a window that begins later, where the choice was ours
  LackOfFit lack;              // of an optimum that is not refused
};

struct LawChoice {
  LawFit fit;
  std::string why;  // a sentence for the report; empty where no other law was taken
};

// `clusters`: of the view's points.
LawChoice ChooseLaw(const DataView& view, const Clusters& clusters, const FitOptions& options);

}  // namespace allometry::fitting
