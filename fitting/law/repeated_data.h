// Data that are read more than once, and models too large for their data (Muennighoff et al. 2023,
// "Scaling Data-Constrained Language Models", eq. 5 and 6).
//
//   L = E + A / N'^alpha + B / D'^beta
//   D' = U_D (1 + R_D (1 - exp(-(epochs - 1) / R_D))),   U_D = D / epochs: unique tokens
//   N' = U_N (1 + R_N (1 - exp(-(N / U_N - 1) / R_N))),  U_N = min(N, N_opt(U_D))
//
// N_opt(U_D) is the N for which U_D tokens are compute-optimal: alpha A N^-alpha = beta B
// U_D^-beta. R_D is about how many repetitions are worth as much as new data (15.4 in the paper),
// R_N the same for excess parameters (5.3). With one epoch and N <= N_opt it is the standard law,
// and so are N*, D* and L*, which take data to be unique. Without an `epochs` column R_D is not
// identified, and the fit is refused as rank-deficient.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "fitting/law/formula.h"

namespace allometry::fitting {

struct RepeatedData {
  static constexpr const char* kName = "repeated-data";
  static constexpr const char* kText =
      "L = E + A/N'^alpha + B/D'^beta, N' and D' effective (Muennighoff et al. 2023)";
  static std::vector<Extra> Extras() {
    return {{"R_D", true, std::log(10.0), std::log(0.05), std::log(1e4)},
            {"R_N", true, std::log(5.0), std::log(0.05), std::log(1e4)}};
  }

  template <class T>
  static T LogLoss(const T* theta, const Point& p) {
    using std::exp;
    using std::log;
    const double unique = p.y - p.log_epochs;  // ln U_D
    const T log_d = unique + log(1.0 + Worth(std::exp(p.log_epochs) - 1, exp(theta[5])));
    // ln N_opt(U_D) from the terms' equal slopes.
    const T optimal =
        (log(theta[kAlpha] / theta[kBeta]) + theta[kLogA] - theta[kLogB] + theta[kBeta] * unique) /
        theta[kAlpha];
    const T excess = exp(p.x - optimal) - 1.0;
    T log_n = T(p.x);
    if (excess > T(0)) log_n = optimal + log(1.0 + Worth(excess, exp(theta[6])));
    const T u = theta[kLogA] - theta[kAlpha] * log_n, v = theta[kLogB] - theta[kBeta] * log_d;
    return log(exp(u) + exp(v) + exp(theta[kLogE]));
  }

  static std::string Remark(const Theta& theta) {
    const double r = std::exp(theta[5]);
    const auto worth = [&](double epochs) { return 1 + Worth(epochs - 1, r); };
    return absl::StrFormat(
        "epochs: 4 passes over the data are worth %.3g times it in new data, 16 passes %.3g times, "
        "and no number of passes more than %.3g times",
        worth(4), worth(16), 1 + r);
  }

 private:
  // What `times` repetitions are worth where r of them are worth most of it.
  template <class S, class T>
  static T Worth(const S& times, const T& r) {
    using std::exp;
    return r * (1.0 - exp(-times / r));
  }
};

}  // namespace allometry::fitting
