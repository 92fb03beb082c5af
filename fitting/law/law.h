// The parametric laws, as rows of a table, and their exact first and second derivatives.
//
// All rows are one formula with some of its parameters held fixed:
//
//   ln L(N, D) = LSE(gamma s, ln E),   s = LSE(u, v),   u = ln A - alpha ln N,  v = ln B - beta ln
//   D
//
// where LSE(p, q) = ln(e^p + e^q). gamma = 1 is the standard law of Hoffmann et al. (2022, eq. 10);
// gamma free couples the two terms as Kaplan et al. (2020, eq. 1.5) do; ln E = -infinity has no
// floor. Working in logarithms keeps A, B and E positive without bounds and makes the log loss,
// which most objectives use, the natural output.
//
// Coordinates. ln N and ln D enter centred, x = ln N - x_center, y = ln D - y_center, and A, B are
// those of the centred data (ln A' = ln A - alpha x_center). Uncentred, ln A and alpha are almost
// collinear: the Hessian's condition number is ~3.5e11 on Chinchilla's data, centred ~1e3, which is
// what lets a second-order step reach the last digits.
//
//   theta = (ln A', ln B', alpha, beta, ln E, ln gamma)
//
// The free parameters of every law are a prefix of theta.
//
// Laws beyond this family are Formulas (fitting/law/formula.h): ln L written once as a template,
// whose derivatives Jets take. docs/extending.md adds one.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "fitting/data/options.h"
#include "fitting/law/law_names.h"

namespace allometry::fitting {

inline constexpr int kMaxParameters = 8;
// A Formula's own parameters follow kLogE.
enum ThetaIndex { kLogA = 0, kLogB = 1, kAlpha = 2, kBeta = 3, kLogE = 4, kLogGamma = 5 };
using Theta = Eigen::Matrix<double, kMaxParameters, 1>;
using ThetaMatrix = Eigen::Matrix<double, kMaxParameters, kMaxParameters>;

struct Formula;

struct Law {
  LawKind kind;
  const char* name;
  const char* formula;
  int free;                      // how many leading entries of theta are fitted
  bool has_floor;                // E is in the formula
  bool coupled;                  // gamma is in the formula
  const Formula* own = nullptr;  // of laws beyond the standard family

  // What people call theta[i]: "A", "B", "alpha", "beta", "E", "gamma".
  const char* ParameterName(int index) const;
};

const Law& FindLaw(LawKind kind);
// The table. The position of a row is its LawKind.
const std::vector<Law>& AllLaws();
// A theta whose fixed entries are those of the law (E = fixed_floor for fixed-floor), all else 0.
Theta FixedEntries(const Law& law, double fixed_floor);

// Derivatives of ln L over z = (u, v, ln E, ln gamma): the first ones and their Hessian's entries.
// theta's own derivatives follow from u = ln A' - alpha x and v = ln B' - beta y.
struct LogLoss {
  double value;
  double first[4];
  double second[4][4];
};

// ln L at centred (x, y); the fast path of gamma = 1 is in the header because the fits spend
// their time here.
template <bool kCoupled>
inline void EvaluateLaw(const Theta& theta, double x, double y, LogLoss& out) {
  const double u = theta[kLogA] - theta[kAlpha] * x;
  const double v = theta[kLogB] - theta[kBeta] * y;
  const double e = theta[kLogE];
  if constexpr (!kCoupled) {
    const double top = std::max(std::max(u, v), e);
    double pu = std::exp(u - top), pv = std::exp(v - top), pe = std::exp(e - top);
    const double sum = pu + pv + pe;
    const double inverse = 1 / sum;
    pu *= inverse, pv *= inverse, pe *= inverse;
    out.value = top + std::log(sum);
    out.first[0] = pu, out.first[1] = pv, out.first[2] = pe;
    out.second[0][0] = pu * (1 - pu), out.second[1][1] = pv * (1 - pv);
    out.second[2][2] = pe * (1 - pe);
    out.second[0][1] = -pu * pv, out.second[0][2] = -pu * pe, out.second[1][2] = -pv * pe;
  } else {
    const double gamma = std::exp(theta[kLogGamma]);
    const double top = std::max(u, v);
    double qu = std::exp(u - top), qv = std::exp(v - top);
    const double s = top + std::log(qu + qv);
    const double scale = 1 / (qu + qv);
    qu *= scale, qv *= scale;
    const double power = gamma * s;
    const double high = std::max(power, e);
    double pp = std::exp(power - high), pe = std::exp(e - high);
    out.value = high + std::log(pp + pe);
    const double inverse = 1 / (pp + pe);
    pp *= inverse, pe *= inverse;
    // z1 = gamma s; its derivatives over (u, v, ln gamma), then the chain through LSE(z1, e).
    const double d[3] = {gamma * qu, gamma * qv, power};
    const double dd = gamma * qu * qv;
    const double mixed = pp * pe;
    out.first[0] = pp * d[0], out.first[1] = pp * d[1], out.first[2] = pe, out.first[3] = pp * d[2];
    out.second[0][0] = mixed * d[0] * d[0] + pp * dd;
    out.second[1][1] = mixed * d[1] * d[1] + pp * dd;
    out.second[0][1] = mixed * d[0] * d[1] - pp * dd;
    out.second[2][2] = mixed;
    out.second[0][2] = -mixed * d[0], out.second[1][2] = -mixed * d[1];
    out.second[0][3] = mixed * d[0] * d[2] + pp * d[0];
    out.second[1][3] = mixed * d[1] * d[2] + pp * d[1];
    out.second[2][3] = -mixed * d[2];
    out.second[3][3] = mixed * d[2] * d[2] + pp * d[2];
  }
}

// ln L and its gradient over theta. `log_epochs` is read by Formulas alone: 0 is unique data.
double LogLossAt(const Law& law, const Theta& theta, double x, double y, Theta* gradient,
                 double log_epochs = 0);

}  // namespace allometry::fitting
