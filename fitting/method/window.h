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
// The rule (`auto`). It sees how well each window predicts, never what its fit says:
//
//   1. Only training curves have a beginning: where fewer than half of the points belong to runs of
//      five or more (without run labels: sizes of ten or more), the window is `all`. So it is for
//      tables of finished runs.
//   2. Candidates are `all` and, for each of the three kinds, thresholds a factor of two apart, as
//      long as enough points (a quarter, and four a parameter) of five sizes are left.
//   3. Rolling origin: for C_o half a decade, one decade and one and a half below the largest C,
//      the law is fitted to the candidate's points below C_o and predicts ln L of the points above
//      it that a compute-optimal run could have: at each C, those of the better half of the sizes.
//      These targets are the same for every candidate. Its score is the rms error over them.
//   4. `all` stays unless its score is more than 1.5 times the least. Otherwise the window is the
//      candidate with the most points whose score is within 1.1 times the least, its threshold
//      moved on by a factor of two where enough points are left.
//
// The score of the chosen window, and of all points, stand in the report.
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
  int candidates = 0;
};

struct WindowRule {
  std::vector<double> origins = {0.5, 1.0, 1.5};  // decades below the largest C
  double horizon = 10;     // decades above an origin within which targets lie
  double share = 0.5;      // of the sizes seen at a C, the best, are targets
  double gate = 1.5;       // all points stay unless their score is above this many times the least
  double tolerance = 1.1;  // of the least score: the largest window within it is taken
  double beyond = 2;       // and its threshold moved on by this factor, for the window that just
                           // predicts best still has some of the transient
  std::vector<WindowKind> kinds = {WindowKind::kTokens, WindowKind::kTokensPerParam,
                                   WindowKind::kFlops};
};

// The targets of the back-test, by index into view.points: at each tenth of a decade of C, the
// points of the best sizes.
std::vector<int> NearOptimal(const DataView& view, double share);

// `scores`, where not null, receives every candidate's.
WindowChoice ChooseWindow(const DataView& view, const Problem& problem, const WindowRule& rule = {},
                          std::vector<WindowScore>* scores = nullptr);

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
