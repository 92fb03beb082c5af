// Which points the parametric law is asked to explain.
//
// L = E + A/N^alpha + B/D^beta says nothing about the start of training. A curve that is read from
// its first evaluation on has more points there than near the optimum, for they are spaced evenly
// in ln D; the law bends to follow them, and its optimum moves. On simulated sweeps of six sizes
// whose small models have a warm-up transient, a was .08 too large and beta's 95 % interval held
// the truth in 49 % of sweeps. So a window leaves the beginning of every curve out:
//
//   all                      every point
//   tokens >= x              D at least x: a warm-up lasts a number of tokens
//   tokens_per_param >= x    D/N at least x
//   flops >= x               C at least x
//
// The rule (`auto`) looks at residuals and at predictions, never at what a fit says about the
// optimum:
//
//   1. Only training curves have a beginning: where fewer than half of the points belong to runs of
//      five or more (without run labels: sizes of ten or more), the window is `all`. So it is for
//      tables of finished runs.
//   2. Where the curves lie on the law from their first points on (fitting/method/settled.h), the
//      window is `all`.
//   3. Otherwise, of each of the three kinds, the smallest threshold from which they do, in steps
//   of
//      a factor of two, as long as enough points (a fifth, and four a parameter) of five sizes are
//      left; moved on by a factor of two where that leaves enough too.
//   4. Among these the back-test with a rolling origin chooses: for C_o half a decade, one decade
//      and one and a half below the largest C, the law is fitted to the window's points below C_o
//      and predicts ln L of the points above it that a compute-optimal run could have: at each C,
//      those of the better half of the sizes. The window with the least rms error is taken.
//
// What is left of a warm-up in the window still moves the exponents: their intervals are lengthened
// by the difference to the fit of a window that begins later (`FitLaterWindow`).
//
// The scores of the window and of all points stand in the report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/method/view.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct WindowScore {
  Window window;
  int64_t points = 0;
  double rms = 0;   // of ln L over the targets of all origins
  double mean = 0;  // the same, signed: above 0 where the fit predicts too low a loss
};

struct WindowChoice {
  Window window;                      // what the law is fitted to
  std::optional<WindowScore> all;     // of every point; none where nothing was compared
  std::optional<WindowScore> chosen;  // of the window
  std::string why;                    // a clause, for the report
};

// At least half of the points belong to training curves that are long enough to have a beginning.
bool MostlyCurves(const DataView& view);

WindowChoice ChooseWindow(const DataView& view, const Problem& problem);

// The law fitted to a window of the same kind that begins four times as late, or two times where
// that leaves too few points; none where both do, where that fit fails, and for `all`. `start`: the
// law in `window`.
std::optional<Theta> FitLaterWindow(const DataView& view, const Problem& problem,
                                    const Window& window, const Theta& start);

bool Contains(const Window& window, const Observation& point);
// The points within the window below that C, with the same centres.
Sample Restrict(const DataView& view, const Window& window, double below_flops);

// The points within a window as a view of their own; index[k] is the place of its point k in the
// view that it is of.
struct WindowedView {
  DataView view;
  std::vector<int> index;

  bool Whole(const DataView& of) const { return index.size() == of.points.size(); }
};
WindowedView Restrict(const DataView& view, const Window& window);
// The same points of another view, and of clusters (renumbered without the empty ones).
WindowedView Restrict(const DataView& view, const std::vector<int>& index);
Clusters Restrict(const Clusters& clusters, const std::vector<int>& index);

}  // namespace allometry::fitting
