// How wide the intervals of a sweep will be, before it is trained.
//
// The design (which N and D will be evaluated), a law and a noise model are enough: the interval's
// standard error is a quadratic form in the errors, s^2 = sum_c (u_c'e)^2, whose u_c depend on the
// design alone (fitting/interval/interval.h), so with Omega the errors' covariance
//
//   Q_cd = u_c' Omega u_d,   E[s^2] = tr Q,   E[s] ~ sqrt(tr Q) m(nu),   nu = (tr Q)^2 / sum Q_cd^2
//   m(nu) = sqrt(2 / nu) Gamma((nu + 1) / 2) / Gamma(nu / 2)        the mean of chi_nu / sqrt(nu)
//   expected half width = t(.975, df) E[s]
//
// with the quantile and the A_c of the method that the fit will use: CR2 with Bell-McCaffrey df for
// squares and for a Huber loss wider than the noise; the delete-one-cluster jackknife, A_c = (I -
// H_c)^-1 times (G - 1) / G and G - 1 df, for Huber and least absolute deviations up to 20 sizes;
// percentiles, A_c = 1 and the normal quantile, beyond. A Huber loss sees psi(e) / E psi' in place
// of e: its variance and covariances come from the bivariate normal (least absolute deviations:
// pi/2 and asin rho), scaled where errors differ in size along a curve; that E psi' differs there
// too is left out.
//
// First order in the errors: where an interval spans a good part of the parameter (half widths of
// alpha beyond a third of it), refits without a size leave the linear range and what is got is
// wider than what was promised. docs/results/plan.md has both.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fitting/data/observation.h"
#include "fitting/interval/noise.h"
#include "fitting/law/quantity.h"

namespace allometry::fitting {

// L = E + A / N^alpha + B / D^beta, as assumed before there are data.
struct AssumedLaw {
  double floor = 0, a_term = 0, b_term = 0, alpha = 0, beta = 0;

  double Loss(double params, double tokens) const;
};

struct ExpectedWidth {
  Quantity quantity;
  double value = 0;  // under the law, on the scale of the interval (ln of A, B, N*, D*)
  double error = 0;  // standard deviation that the estimate will have
  double half = 0;   // expected half width of the 95 % interval, on that scale
  double df = 0;     // of the quantile; infinite for percentiles
};

struct ExpectedWidths {
  std::string method;  // of the interval
  std::string reason;  // why there is none: too few sizes, a law that the design does not identify
  int clusters = 0;
  int points = 0;
  std::vector<ExpectedWidth> widths;  // one a quantity; empty when there is a reason
};

// `design`: params and tokens of every evaluation that the fit will read; losses are the law's.
ExpectedWidths ExpectWidths(const std::vector<Observation>& design, const AssumedLaw& law,
                            const NoiseModel& noise, const Objective& objective,
                            const std::vector<Quantity>& quantities);

// ExpectWidths of many designs that share most of their curves, as when candidates are ranked: the
// covariance of a curve's errors is kept from one design to the next. Results are the same. One
// thread at a time.
class WidthForecast {
 public:
  WidthForecast(const AssumedLaw& law, const NoiseModel& noise, const Objective& objective);
  ~WidthForecast();
  ExpectedWidths Of(const std::vector<Observation>& design,
                    const std::vector<Quantity>& quantities);

 private:
  class Covariances;
  const AssumedLaw law_;
  const NoiseModel noise_;
  const Objective objective_;
  const std::unique_ptr<Covariances> covariances_;
};

// Variance and covariance, at correlation `rho`, of psi(e) / E psi' of standard normal errors and a
// Huber threshold of `delta` standard deviations; delta 0: least absolute deviations.
double HuberCovariance(double delta, double rho);

}  // namespace allometry::fitting
