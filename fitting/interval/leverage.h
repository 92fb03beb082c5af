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

// The variance and the degrees of freedom of g'theta, as sums over clusters.
class Cr2Sum {
 public:
  // R^-T g: then J_c B g = Q_c h.
  explicit Cr2Sum(Eigen::VectorXd h);
  // `meat` is leverage.m Q_c'r_c.
  void Add(const Leverage& leverage, const Eigen::VectorXd& meat);
  double error() const;
  double df() const;

 private:
  Eigen::VectorXd h_;
  Eigen::MatrixXd zz_;
  double variance_ = 0, trace_ = 0, diagonal_ = 0, crossed_ = 0;
};

}  // namespace allometry::fitting
