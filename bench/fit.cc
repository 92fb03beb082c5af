// The pace of fits, one core: build/bench/fit
//
// Goals (issue 4): refit and certificate at 240 points < 1 ms; global fit < 50 ms; 4000 cluster
// bootstraps <= 1 s on two cores; 10^6 points < 1 s.
#include <benchmark/benchmark.h>

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
