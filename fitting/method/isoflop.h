// IsoFLOP profiles: one minimum per compute budget (Hoffmann et al. 2022, section 3.2, Method 2).
//
// Sweeps planned this way have groups of points of (nearly) one C. Each group with at least four
// sizes gives the minimum of a curve of L over ln N through the best size and three sizes to each
// side: a cubic by least squares, or a parabola with fewer than six sizes or where the cubic has no
// minimum between them. It must lie between the sizes. ln N* over ln C is then a line.
// Training curves have no such groups: there the budgets are 10 a decade.
//
// Hoffmann et al. put a parabola through all sizes. It is symmetric in ln N and the loss is not, so
// it leans where the grid is wide or off centre: docs/decisions.md has the errors of each choice.
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
  struct Group {
    double log_flops;
    std::vector<int> points;
  };
  std::vector<int> AboutTheBest(const Group& group, const std::vector<double>& log_loss) const;
  FrontierResult EvaluateGroups(const std::vector<double>& log_loss) const;
  FrontierResult EvaluateCurves(const std::vector<double>& log_loss) const;

  bool six_n_d_;
  std::vector<double> log_params_, log_tokens_;
  std::vector<Group> groups_;
  FrontierPlan curves_;
};

}  // namespace allometry::fitting
