// The pace of fits, one core: build/bench/fit
//
// Goals (issue 4): refit and certificate at 240 points < 1 ms; global fit < 50 ms; 4000 cluster
// bootstraps <= 1 s on two cores; 10^6 points < 1 s.
#include "fitting/report/fit.h"

#include <benchmark/benchmark.h>
#include <ceres/tiny_solver.h>

#include "fitting/interval/interval.h"
#include "fitting/method/frontier.h"
#include "fitting/method/resample.h"
#include "fitting/method/view.h"
#include "tests/fitting/synthetic_sweep.h"

namespace allometry::fitting {
namespace {

// 43 sizes and 240 points, as Chinchilla's figure has.
Observations Sweep240() {
  Observations sweep;
  Random random(1, 1);
  const Truth truth;
  for (int i = 0; i < 240; ++i) {
    Observation point;
    point.params = 4e7 * std::pow(400.0, (i % 43) / 42.0);
    point.tokens = point.params * 3 * std::pow(60.0, random.Uniform());
    point.loss = truth.Loss(point.params, point.tokens) * std::exp(0.006 * random.Normal());
    sweep.Add(point);
  }
  return sweep;
}

const Problem kHuber{&FindLaw(LawKind::kStandard), {ObjectiveKind::kHuber, 1e-3}, 0};

void RefitWithCertificate(benchmark::State& state) {
  const Views views = MakeViews(Sweep240(), {}, false);
  const Sample& sample = views.all.front().sample;
  Theta start = FindOptimum(kHuber, sample).theta;
  start[kLogA] += 0.01, start[kBeta] += 0.01;
  const Box box = Box::For(sample);
  for (auto _ : state) {
    benchmark::DoNotOptimize(Minimise(*kHuber.law, kHuber.objective, sample, start, box));
  }
}
BENCHMARK(RefitWithCertificate)->Unit(benchmark::kMicrosecond);

// ceres::TinySolver on the same warm refit, least squares of ln L, to the gradient that it reaches.
struct TinyLaw {
  using Scalar = double;
  enum { NUM_RESIDUALS = Eigen::Dynamic, NUM_PARAMETERS = 5 };
  const Sample* sample;
  int NumResiduals() const { return static_cast<int>(sample->size()); }
  bool operator()(const double* parameters, double* residuals, double* jacobian) const {
    Theta theta = Theta::Zero(), gradient;
    std::copy(parameters, parameters + 5, theta.data());
    const int n = NumResiduals();
    for (int i = 0; i < n; ++i) {
      residuals[i] = Residual(*kHuber.law, {ObjectiveKind::kLsqLog, 0}, *sample, theta, i,
                              jacobian ? &gradient : nullptr);
      if (jacobian == nullptr) continue;
      for (int k = 0; k < 5; ++k) jacobian[k * n + i] = -gradient[k];
    }
    return true;
  }
};

void WarmRefitOfSquares(benchmark::State& state) {
  const Views views = MakeViews(Sweep240(), {}, false);
  const Sample& sample = views.all.front().sample;
  const Objective squares{ObjectiveKind::kLsqLog, 0};
  Theta start = FindOptimum({kHuber.law, squares, 0}, sample).theta;
  start[kLogA] += 0.01, start[kBeta] += 0.01;
  const Box box = Box::For(sample);
  const bool tiny = state.range(0) == 1;
  Theta theta = start;
  for (auto _ : state) {
    theta = start;
    if (tiny) {
      ceres::TinySolver<TinyLaw> solver;
      solver.options.max_num_iterations = 100;
      solver.options.gradient_tolerance = 1e-13;
      solver.options.parameter_tolerance = 1e-14;
      solver.options.cost_threshold = 0;
      Eigen::Matrix<double, 5, 1> x = start.head(5);
      solver.Solve(TinyLaw{&sample}, &x);
      theta.head(5) = x;
    } else {
      theta = Minimise(*kHuber.law, squares, sample, start, box).theta;
    }
    benchmark::DoNotOptimize(theta);
  }
  state.counters["gradient"] =
      Differentiate(*kHuber.law, squares, sample, theta).gradient.cwiseAbs().maxCoeff();
  state.SetLabel(tiny ? "ceres::TinySolver" : "Newton");
}
BENCHMARK(WarmRefitOfSquares)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void GlobalFit(benchmark::State& state) {
  const Views views = MakeViews(Sweep240(), {}, false);
  const Problem problem{kHuber.law, {static_cast<ObjectiveKind>(state.range(0)), 1e-3}, 0};
  for (auto _ : state) {
    benchmark::DoNotOptimize(FindOptimum(problem, views.all.front().sample));
  }
  state.SetLabel(Name(problem.objective.kind));
}
BENCHMARK(GlobalFit)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);

void Bootstrap4000(benchmark::State& state) {
  const Views views = MakeViews(Sweep240(), {}, false);
  const Sample& sample = views.all.front().sample;
  const Optimum optimum = FindOptimum(kHuber, sample);
  IntervalOptions options;
  options.threads = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(MakeIntervals(kHuber, sample, views.clusters, optimum,
                                           LawQuantities(*kHuber.law), options));
  }
}
BENCHMARK(Bootstrap4000)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void Cr2Intervals(benchmark::State& state) {
  const Views views = MakeViews(Sweep240(), {}, false);
  const Sample& sample = views.all.front().sample;
  const Problem squares{kHuber.law, {ObjectiveKind::kLsqLog, 0}, 0};
  const Optimum optimum = FindOptimum(squares, sample);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        MakeIntervals(squares, sample, views.clusters, optimum, LawQuantities(*squares.law), {}));
  }
}
BENCHMARK(Cr2Intervals)->Unit(benchmark::kMicrosecond);

// What `allo fit` costs on a sweep of curves: every method, intervals, window, verdict.
void WholeReport(benchmark::State& state) {
  const Observations sweep = CurveSweep(1, 14, static_cast<int>(state.range(0)));
  FitOptions options;
  options.budgets = {1e22};
  for (auto _ : state) benchmark::DoNotOptimize(Fit(sweep, options).ok());
}
BENCHMARK(WholeReport)->Arg(55)->Arg(275)->Unit(benchmark::kMillisecond);

void FrontierOfSixteenCurves(benchmark::State& state) {
  const Views views = MakeViews(CurveSweep(1), {}, false);
  const DataView& view = views.all.front();
  const FrontierPlan plan(view, views.curves, Minimum::kParabola);
  for (auto _ : state) benchmark::DoNotOptimize(plan.Evaluate(view.sample.log_loss));
}
BENCHMARK(FrontierOfSixteenCurves)->Unit(benchmark::kMicrosecond);

// Ten sizes with 10^5 points each; MakeViews is the sorting and the logarithms.
void MillionPoints(benchmark::State& state) {
  const Observations sweep = GridSweep(1, {10, 100000, 0.004});
  const Problem problem{kHuber.law, {static_cast<ObjectiveKind>(state.range(0)), 1e-3}, 0};
  for (auto _ : state) {
    const Views views = MakeViews(sweep, {}, false);
    benchmark::DoNotOptimize(FindOptimum(problem, views.all.front().sample));
  }
  state.SetLabel(Name(problem.objective.kind));
}
BENCHMARK(MillionPoints)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace allometry::fitting

BENCHMARK_MAIN();
