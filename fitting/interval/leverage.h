// What CR2 needs of one cluster (fitting/interval/interval.h).
#pragma once

#include <Eigen/Core>

namespace allometry::fitting {

// One cluster in the coordinates of J = Q R.
struct Leverage {
  Eigen::MatrixXd k;       // Q_c'Q_c
  Eigen::MatrixXd m;       // on the span of Q_c: (I - H_c)^(-1/2) Q_c = Q_c m
  Eigen::MatrixXd adjust;  // A_c r_c = r_c + Q_c adjust (Q_c'r_c)
};

// `gram` is J_c'J_c, `r_inverse` the inverse of the R of J = Q R.
Leverage MakeLeverage(const Eigen::MatrixXd& gram, const Eigen::MatrixXd& r_inverse);

}  // namespace allometry::fitting
