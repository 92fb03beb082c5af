// Weighted linear least squares with intervals by clusters (fitting/interval/interval.h: CR2 with
// Bell-McCaffrey degrees of freedom), for laws that are lines in logarithms.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <string>
#include <vector>

#include "fitting/data/result.h"
#include "fitting/interval/leverage.h"

namespace allometry::fitting {

struct Regression {
  Eigen::VectorXd coefficients;
  std::vector<double> residuals;
  double rms = 0;                      // of the residuals
  std::optional<std::string> refused;  // too few rows, or columns that cannot be told apart

  // g'coefficients with its 95 % interval; without bounds where the fit has none.
  Estimate Of(const Eigen::VectorXd& g) const;

  std::string no_interval;  // why there are no bounds; otherwise ""
  Eigen::MatrixXd r_inverse;
  std::vector<Leverage> leverages;     // of each cluster
  std::vector<Eigen::VectorXd> meats;  // leverage.m Q_c'r_c
};

// An estimate of a logarithm, shown as its exponential.
Estimate Exponential(Estimate estimate);

// Rows of `x` are the regressors of one row of the table. `cluster[i]` numbers the row's cluster
// from 0.
Regression Regress(const Eigen::MatrixXd& x, const Eigen::VectorXd& y,
                   const std::vector<double>& weight, const std::vector<int>& cluster);

}  // namespace allometry::fitting
