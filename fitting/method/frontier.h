// The compute-efficient frontier: for every C the best N on the training curves.
//
// This is Method 1 of Hoffmann et al. (2022, section 3.1) and the fit that Pearce et al. (2025)
// prefer where curves cross. Done as usually done it is the worst of the methods: the argmin over
// a grid of models is a staircase, minima at the edge of the grid drag the exponent by -.06 to
// -.09, and an exponential moving average lags. Here, per C on a grid of 100 a decade:
//
//   1. every curve is smoothed by a centred window in ln D, .05 decades to each side (narrower
//      towards its ends, so that it stays centred), and interpolated at C linearly in ln C;
//   2. curves of one size are averaged; the best size needs two evaluated sizes on each side;
//   3. a parabola of ln L over ln N goes through the five sizes around it, and must open upwards
//      with its vertex between its outer sizes and not far below the best of them: N*(C), L*(C).
//
// Sizes within 10 % of each other are one size there: shapes of one N.
//
// Then ln N* = ln a0 + a ln C by least squares over the grid. Where C = 6 N D, D* = C / (6 N*), so
// that a + b = 1 holds by construction; otherwise ln D* at the vertex is fitted for itself, and
// the sum is shown. With fewer than five sizes (or too few minima with two on each side) three
// sizes and one on each side do, and the report says so.
//
// Measured over 40 seeds of synthetic curves: RMSE of a .0031 to .0035 with five to seven sizes,
// .0051 with three, .0063 with one point per crossing, .0069 with an Akima spline, .0078 (bias
// -.005) with the bracketed argmin. Those others are options, for comparison.
//
// Everything but the losses is fixed once: a plan holds the windows and interpolation weights, and
// evaluating it for a resampled sweep costs about a millisecond.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/method/view.h"

namespace allometry::fitting {

struct FrontierPoint {
  double log_flops, log_params, log_tokens, log_loss;
};

// ln N* = log_params_at_one + a ln C, and the same for D.
struct PowerLaws {
  double a = 0, log_params_at_one = 0;
  double b = 0, log_tokens_at_one = 0;
  double rms = 0;  // of ln N* about the line
};

// What a frontier method found, or why it found nothing.
struct FrontierResult {
  std::vector<FrontierPoint> points;
  std::optional<PowerLaws> laws;
  std::string refused;
  int widest = 0;  // sizes in a parabola
};

class FrontierPlan {
 public:
  FrontierPlan(const DataView& view, const Clusters& curves, Minimum minimum);

  // `log_loss` has one value per point of the view.
  FrontierResult Evaluate(const std::vector<double>& log_loss) const;

  int sizes() const { return static_cast<int>(size_log_params_.size()); }
  int curves() const { return static_cast<int>(curves_.size()); }

 private:
  friend class IsoflopPlan;
  struct Knot {  // a smoothed point: the mean over members_[first, last)
    int first, last;
  };
  struct Curve {
    int size;                 // index into size_log_params_
    std::vector<int> order;   // points by ascending D
    std::vector<Knot> knots;  // one per entry of order
    std::vector<double> log_flops, log_tokens;
  };
  struct CurveAt {  // one curve seen at one C of the grid
    int curve, knot;
    double fraction;  // between knot and knot + 1
  };

  // ln L (and ln D) of every size seen at grid point g, ascending in N.
  struct SizeAt {
    int size;
    double log_params, log_tokens, log_loss;
  };
  std::vector<SizeAt> SizesAt(size_t g, const std::vector<std::vector<double>>& smooth) const;
  std::vector<std::vector<double>> Smooth(const std::vector<double>& log_loss) const;
  std::optional<FrontierPoint> MinimumAbout(const std::vector<SizeAt>& sizes_at, double at,
                                            int center, int side) const;
  FrontierResult Trace(const std::vector<std::vector<double>>& smooth, int side) const;
  FrontierResult TraceCrossings(const std::vector<std::vector<double>>& smooth) const;

  Minimum minimum_;
  bool six_n_d_;
  std::vector<Curve> curves_;
  std::vector<double> size_log_params_;
  std::vector<double> grid_;                     // ln C
  std::vector<std::vector<CurveAt>> curves_at_;  // per grid point
};

// A parabola's minimum through (x, y), by least squares; nothing where it opens downwards.
struct Vertex {
  double x, y;
};
std::optional<Vertex> ParabolaVertex(const std::vector<double>& x, const std::vector<double>& y,
                                     const std::vector<double>* weights = nullptr);

// Least squares lines through the points; needs two different ln C.
PowerLaws FitPowerLaws(const std::vector<FrontierPoint>& points, bool six_n_d);

}  // namespace allometry::fitting
