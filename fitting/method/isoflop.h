// IsoFLOP profiles: one parabola per compute budget (Hoffmann et al. 2022, section 3.2, Method 2).
//
// Sweeps planned this way have groups of points of (nearly) one C. Each group with at least four
// sizes gives a least squares parabola of L over ln N through all its points; it must open upwards
// with its vertex between the smallest and the largest size. ln N* over ln C is then a line.
// Training curves have no such groups: there the budgets are 10 a decade, and the parabola goes
// through the seven sizes around the best one (fewer where there are fewer), with a size on each
// side.
//
// Known bias, even without noise: a parabola is symmetric in ln N and the loss is not, so the
// intercept is off when alpha != beta or the grid is off centre (N* at 1e24 FLOPs 1.05 times the
// truth on Chinchilla's exponents over +-1.2 decades, 1.30 times at alpha = .465, beta = .155),
// while the slope is exact on centred grids. The report says so; the frontier's narrow parabolas
// suffer less.
#pragma once

#include "fitting/method/frontier.h"

namespace allometry::fitting {

class IsoflopPlan {
 public:
  IsoflopPlan(const DataView& view, const Clusters& curves);

  // `log_loss` has one value per point of the view. FrontierPoint::log_flops is the group's mean.
  FrontierResult Evaluate(const std::vector<double>& log_loss) const;

  // Groups of one C in the data; 0 where budgets are laid over curves.
  int groups() const { return static_cast<int>(groups_.size()); }

 private:
  FrontierResult EvaluateGroups(const std::vector<double>& log_loss) const;
  FrontierResult EvaluateCurves(const std::vector<double>& log_loss) const;

  struct Group {
    double log_flops;
    std::vector<int> points;
  };
  bool six_n_d_;
  std::vector<double> log_params_, log_tokens_;
  std::vector<Group> groups_;
  FrontierPlan curves_;
};

}  // namespace allometry::fitting
