// How far off are the exponents of the frontier and of isoFLOP?
//   build/bench/exponents [--sweeps=N] [--curves-only]
//
// Settings: laws of several asymmetries; isoFLOP grids of several widths and numbers of sizes, on
// and off centre, drifting; noise-free and noisy. Curves of six noisy sizes for the frontier.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fitting/method/curve_fit.h"
#include "fitting/method/isoflop.h"
#include "fitting/report/fit.h"
#include "fitting/solve/parallel.h"
#include "tests/fitting/synthetic_sweep.h"

namespace allometry::fitting {
namespace {

struct Setting {
  Truth truth;
  int sizes, budgets;
  double width;   // decades of N around the optimum
  double center;  // decades that the grid's middle is off at the first budget
  double drift;   // and at the last, in addition
};

Observations IsoflopSweep(const Setting& s, double noise, uint64_t seed) {
  Observations sweep;
  Random random(seed, 5000);
  for (int b = 0; b < s.budgets; ++b) {
    const double flops = 1e18 * std::pow(10, 3.0 * b / (s.budgets - 1));
    const double off = s.center + s.drift * b / (s.budgets - 1);
    for (int k = 0; k < s.sizes; ++k) {
      Observation p;
      p.params = s.truth.BestParams(flops) *
                 std::pow(10, off + s.width * (double(k) / (s.sizes - 1) - 0.5));
      p.tokens = flops / (6 * p.params);
      p.loss = s.truth.Loss(p.params, p.tokens) * std::exp(noise * random.Normal());
      sweep.Add(p, std::to_string(b) + "-" + std::to_string(k));
    }
  }
  return sweep;
}

void Isoflop(int sweeps) {
  std::vector<Setting> settings;
  for (auto [alpha, beta, a, b] : {std::tuple{0.34, 0.28, 406.4, 410.7},
                                   {0.42, 0.22, 700., 35.},
                                   {0.465, 0.155, 3000., 15.},
                                   {0.25, 0.45, 60., 20000.}}) {
    for (int sizes : {7, 9, 12}) {
      for (auto [center, drift] : {std::pair{0.0, 0.0}, {0.3, -0.6}, {-0.3, 0.6}}) {
        settings.push_back(
            {{1.7, a, b, alpha, beta}, sizes, 7, sizes > 9 ? 2.2 : 1.6, center, drift});
      }
    }
  }
  for (double noise : {0.0, 0.001, 0.003}) {
    double squares = 0, bias = 0, n = 0;
    for (const Setting& s : settings) {
      for (int k = 0; k < (noise > 0 ? sweeps : 1); ++k) {
        const Views views = MakeViews(IsoflopSweep(s, noise, k), {}, false);
        const auto result = IsoflopPlan(views.all.front(), views.curves)
                                .Evaluate(views.all.front().sample.log_loss);
        if (!result.laws) continue;
        const double error = result.laws->a - s.truth.a();
        squares += error * error, bias += error, n += 1;
      }
    }
    std::printf("isoflop noise %.3f: a rms %.4f bias %+.4f over %.0f\n", noise,
                std::sqrt(squares / n), bias / n, n);
    std::fflush(stdout);
  }
}

void Frontier(int sweeps, int sizes, double noise, double offset) {
  TransientDesign design;
  design.transient = Transient::kNone;
  design.sizes = sizes;
  design.noise = noise;
  design.offset = offset;
  const Truth truth = TransientTruth();
  FitOptions options;
  options.budgets = {1e22};
  for (Method method : {Method::kFrontier, Method::kIsoflop}) {
    options.method = method;
    double bias = 0, squares = 0, covered = 0, n = 0, params = 0, bounded = 0;
    for (int k = 0; k < sweeps; ++k) {
      const auto report = Fit(TransientSweep(k, design), options);
      if (!report.ok() || report->fits[0].refused) continue;
      const Estimate& a = *report->fits[0].Find("a");
      const Estimate& best = report->predictions[0].params;
      bias += *a.estimate - truth.a(), squares += std::pow(*a.estimate - truth.a(), 2), n += 1;
      bounded += a.lower.has_value();
      covered += a.lower && *a.lower <= truth.a() && truth.a() <= *a.upper;
      params += best.lower && *best.lower <= truth.BestParams(1e22) &&
                truth.BestParams(1e22) <= *best.upper;
    }
    std::printf(
        "%s %d sizes noise %.3f offset %.3f: a bias %+.4f (s.e. %.4f) rms %.4f, of %.0f; of %.0f "
        "with an interval it covers a %.3f N* %.3f\n",
        Name(method).c_str(), sizes, noise, offset, bias / n,
        std::sqrt((squares / n - bias * bias / n / n) / n), std::sqrt(squares / n), n, bounded,
        covered / bounded, params / bounded);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace allometry::fitting

int main(int argc, char** argv) {
  using namespace allometry::fitting;
  int sweeps = 40;
  bool curves_only = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    curves_only |= arg == "--curves-only";
    if (arg.rfind("--sweeps=", 0) == 0) sweeps = std::stoi(arg.substr(9));
  }
  if (!curves_only) Isoflop(sweeps);
  Frontier(sweeps, 6, 0.002, 0.004);
  Frontier(sweeps, 6, 0, 0);
  Frontier(sweeps, 9, 0.002, 0.004);
}
