// Resampled sweeps: what the frontier methods, and differences between methods, are judged by.
//
// A frontier has no gradient, and its grid must stay whole: leaving out or repeating runs coarsens
// the grid and makes intervals 1.6 to 1.9 times too wide. So the runs stay and their errors are
// flipped. A least squares parametric fit f of ln L on all points gives residuals r = ln L - f;
// A_c of CR2 (fitting/interval/interval.h) frees them of the shrinkage that fitting causes; a
// resampled sweep has, for every run c, the curve f + w_c A_c r_c with w_c = +1 or -1. The whole
// method runs on each; the interval is estimate +- t(.975, df) sd with df that of the parametric a.
// Measured coverage of 95 %: .964 frontier, .957 isoFLOP.
//
// All methods and conventions see the same signs, so that the interval of a difference between two
// of them is that of the differences in the same resampled sweeps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/data/result.h"
#include "fitting/method/view.h"
#include "fitting/method/window.h"

namespace allometry::fitting {

// One view's curve errors.
struct SweepModel {
  std::string unusable;                  // why there is none; otherwise ""
  std::vector<double> fitted, adjusted;  // f and A_c r_c, per point
  double df = 0;                         // of the parametric a
  double intraclass_correlation = 0;
};
// The law is fitted to the window's points. A run's error at a point outside is taken to be the one
// at its nearest point inside: a law that does not hold there says nothing about noise.
SweepModel MakeSweepModel(const DataView& view, const WindowedView& window, const Clusters& curves);

// What a method makes of ln L: quantities in a fixed layout, NaN for those it does not have.
struct Layout {
  enum Head { kA, kB, kFloor, kExponent, kExcess, kHead };
  std::vector<double> budgets;
  int size() const { return kHead + 3 * static_cast<int>(budgets.size()); }
  int LogParams(size_t budget) const { return kHead + 3 * static_cast<int>(budget); }
  int LogTokens(size_t budget) const { return LogParams(budget) + 1; }
  int Loss(size_t budget) const { return LogParams(budget) + 2; }
  std::vector<double> Empty() const;
};

struct Estimator {
  std::string method;
  size_t view = 0;
  std::vector<double> estimate;  // on the data itself
  std::function<std::vector<double>(const std::vector<double>& log_loss)> evaluate;
  // draws[b][k]; empty where the view's model is unusable.
  std::vector<std::vector<double>> draws;
};

// Fills the draws of every estimator. `cancelled`: FitOptions::cancelled.
void ResampleSweeps(const std::vector<SweepModel>& models, const Clusters& curves, int resamples,
                    uint64_t seed, int threads, const std::function<bool()>& cancelled,
                    std::vector<Estimator>& estimators);

// estimate +- t sd of entry k; nothing where more than a tenth of the sweeps have no such value.
std::optional<double> HalfWidth(const Estimator& estimator, int k, double df);
// The same for entry k of first - second.
std::optional<double> HalfWidth(const Estimator& first, const Estimator& second, int k, double df);

}  // namespace allometry::fitting
