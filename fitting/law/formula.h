// A law of one's own: ln L as a template over the number type, and what its parameters are called.
//
//   struct MyLaw {
//     static constexpr const char* kName = "my-law";
//     static constexpr const char* kText = "L = E + A/N^alpha + B/D^beta + ...";
//     static std::vector<Extra> Extras();              // parameters after (ln A', ln B', alpha,
//                                                      // beta, ln E), at most three
//     template <class T>
//     static T LogLoss(const T* theta, const Point& p);  // p: centred ln N, ln D; ln epochs
//   };
//
// That and one row of the table in law.cc are all: Ceres, Newton, starts, certificate, intervals,
// profile, N*, D*, L* and picture follow from the template by Jets (ceres/jet.h). N* and L* are
// those of the five standard parameters at log_epochs = 0: a law whose compute-optimal N is another
// one cannot be told by a Formula alone.
#pragma once

#include <ceres/jet.h>

#include <Eigen/Core>
#include <string>
#include <vector>

#include "fitting/law/law.h"

namespace allometry::fitting {

struct Point {
  double x = 0, y = 0;    // ln N - x_center, ln D - y_center
  double log_epochs = 0;  // passes over unique data; 0 where not known
};

// One parameter beyond the standard five, as an entry of theta.
struct Extra {
  const char* name;
  bool logarithmic;     // theta holds its logarithm; reports show exp
  double start;         // of the entry
  double lower, upper;  // of the entry
};

struct Formula {
  const char* name;
  const char* text;
  std::vector<Extra> extras;
  // ln L and, where not null, its gradient and Hessian over theta (entries beyond the free ones 0).
  double (*evaluate)(const Theta& theta, const Point& point, Theta* gradient, ThetaMatrix* hessian);
  // What the fitted numbers mean, in a sentence of the report; none where F has no Remark.
  std::string (*remark)(const Theta& theta) = nullptr;
};

template <class F, int n>
double EvaluateFormula(const Theta& theta, const Point& point, Theta* gradient,
                       ThetaMatrix* hessian) {
  if (gradient == nullptr) {
    return F::template LogLoss<double>(theta.data(), point);
  }
  using Jet = ceres::Jet<double, n>;
  const auto differentiate = [&](const Theta& at, Eigen::Matrix<double, n, 1>& out) {
    Jet p[n];
    for (int i = 0; i < n; ++i) p[i] = Jet(at[i], i);
    const Jet value = F::template LogLoss<Jet>(p, point);
    out = value.v;
    return value.a;
  };
  Eigen::Matrix<double, n, 1> first, above, below;
  const double value = differentiate(theta, first);
  gradient->setZero();
  gradient->template head<n>() = first;
  if (hessian == nullptr) return value;
  // Central differences of the exact gradient: good to 1e-9, and Newton's last step asks for less.
  hessian->setZero();
  for (int k = 0; k < n; ++k) {
    constexpr double kStep = 1e-5;
    Theta up = theta, down = theta;
    up[k] += kStep, down[k] -= kStep;
    differentiate(up, above);
    differentiate(down, below);
    hessian->col(k).template head<n>() = (above - below) / (2 * kStep);
  }
  *hessian = 0.5 * (*hessian + hessian->transpose()).eval();
  return value;
}

// The row of a law; n is 5 and the number of its extras.
template <class F, int n>
const Formula* MakeFormula() {
  static_assert(n >= 5 && n <= kMaxParameters);
  static Formula formula{F::kName, F::kText, F::Extras(), &EvaluateFormula<F, n>};
  if constexpr (requires(const Theta& theta) { F::Remark(theta); }) formula.remark = &F::Remark;
  return &formula;
}

}  // namespace allometry::fitting
