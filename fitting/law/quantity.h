// What people ask of a fitted law, as functions of theta with their gradients.
//
//   alpha, beta, gamma, E;  ln A, ln B (of the uncentred law; shown as A, B)
//   a = beta / (alpha + s beta),  b = alpha / (alpha + s beta)
//   ln N*(C) = (ln(alpha A / (s beta B)) + beta ln(C/k)) / (alpha + s beta)
//   ln D*(C) = ln(C/k) - s ln N*(C)
//   L*(C)    = L(N*, D*)
//
// for a cost C = k N^s D. The common C = 6 N D is k = 6, s = 1, and then a + b = 1 and
// N* = G (C/6)^a as in Hoffmann et al. (2022, eq. 4). Other accountings of FLOPs are fitted to
// that form (Cost::Fit): attention makes s < 1 at small N. N* minimises the law at fixed C:
// alpha A N^-alpha = s beta B D^-beta. The coupled law has the same N*, because gamma only bends
// the sum of the two terms monotonically.
//
// An interval is built on the scale where errors are most nearly symmetric: logarithms for A, B,
// N* and D*, which are exponentiated afterwards.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fitting/law/objective.h"

namespace allometry::fitting {

// C = k N^s D.
struct Cost {
  double log_k = std::log(6.0);
  double s = 1;
  double rms = 0;  // of ln C about the form

  // Least squares of ln(C / D) over ln N; flops of 0 count as 6 N D.
  static Cost Fit(const std::vector<Observation>& points, const std::vector<double>* params);
  bool six_n_d() const { return s == 1 && log_k == std::log(6.0); }
};

enum class QuantityKind {
  kAlpha,
  kBeta,
  kGamma,
  kFloor,
  kLogA,
  kLogB,
  kA,
  kB,
  kLogParams,  // ln N*(C)
  kLogTokens,  // ln D*(C)
  kLoss,       // L*(C)
  kExtra,      // a Formula's own parameter
  kOwn,        // Quantity::own
};

struct Quantity {
  QuantityKind kind = QuantityKind::kOwn;
  double flops = 0;  // of N*, D*, L*
  Cost cost;
  // Of kExtra: its place after E.
  int extra = 0;
  // Of kExtra and kOwn: the name, and whether reports show the exponential.
  std::string own_name = "";
  bool own_logarithmic = false;
  // Of kOwn: the value, whose gradient is taken by central differences.
  std::function<double(const Law&, const Sample&, const Theta&)> own = nullptr;

  // The name it has in reports: "alpha", "E", "A", "a", "params", ...
  std::string name() const;
  // Reports show exp(value).
  bool logarithmic() const;
  // `gradient` may be null. The sample gives the centres.
  double Value(const Law& law, const Sample& sample, const Theta& theta, Theta* gradient) const;
};

// E, A, B, alpha, beta, (gamma), a, b: those the law has.
std::vector<Quantity> LawQuantities(const Law& law);
// ln N*, ln D* and L* at each budget.
std::vector<Quantity> BudgetQuantities(const std::vector<double>& budgets, const Cost& cost);

}  // namespace allometry::fitting
