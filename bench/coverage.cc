// How often do 95 % intervals cover? build/bench/coverage [--sweeps=2000] [--seed=1]
//   [--design=all|NAME] [--objective=all|lsq-log|huber|lad] [--threads=2]
//
// Prints, for every design and objective, the share of simulated sweeps whose interval holds the
// truth, for alpha, beta, E, a and L*(1e24), and the share of sweeps without an interval (which
// counts as not covered). The standard error of a share near .95 over 2000 sweeps is .005.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fitting/data/csv.h"
#include "fitting/interval/interval.h"
#include "fitting/method/view.h"
#include "fitting/solve/parallel.h"
#include "tests/fitting/synthetic_sweep.h"

namespace allometry::fitting {
namespace {

struct Named {
  const char* name;
  Design design;
};
const Named kDesigns[] = {
    {"5-sizes-iid", {5, 12, 0.004, 0, 0}},        {"5-sizes-clustered", {5, 12, 0.003, 0.003, 0}},
    {"8-sizes-iid", {8, 8, 0.004, 0, 0}},         {"8-sizes-clustered", {8, 8, 0.003, 0.003, 0}},
    {"10-sizes-iid", {10, 8, 0.004, 0, 0}},       {"10-sizes-clustered", {10, 8, 0.003, 0.003, 0}},
    {"10-sizes-serial", {10, 12, 0.004, 0, 0.8}}, {"20-sizes-clustered", {20, 6, 0.003, 0.003, 0}},
    {"43-sizes-iid", {43, 6, 0.005, 0, 0}},       {"43-sizes-clustered", {43, 6, 0.004, 0.003, 0}},
};

std::string Option(int argc, char** argv, const std::string& name, const std::string& fallback) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]).rfind(prefix, 0) == 0) return argv[i] + prefix.size();
  }
  return fallback;
}

void RunDesign(const Named& named, ObjectiveKind objective, int sweeps, int seed, int threads) {
  const Truth truth;
  const std::vector<double> truths = {truth.alpha, truth.beta, truth.floor, truth.a(),
                                      truth.BestLoss(1e24)};
  const std::vector<Quantity> quantities = {{QuantityKind::kAlpha, 0, {}},
                                            {QuantityKind::kBeta, 0, {}},
                                            {QuantityKind::kFloor, 0, {}},
                                            {QuantityKind::kA, 0, {}},
                                            {QuantityKind::kLoss, 1e24, {}}};
  const Problem problem{&FindLaw(LawKind::kStandard), {objective, 1e-3}, 0};
  std::vector<std::vector<char>> covered(sweeps, std::vector<char>(truths.size(), 0));
  std::vector<char> missing(sweeps, 0);
  ParallelFor(sweeps, threads, {}, [&](int i) {
    const Views views = MakeViews(GridSweep(uint64_t{1000003} * seed + i, named.design), {}, false);
    const Sample& sample = views.all.front().sample;
    const Optimum optimum = FindOptimum(problem, sample);
    IntervalOptions options;
    options.resamples = 1000;
    options.seed = i;
    const Intervals intervals =
        MakeIntervals(problem, sample, views.clusters, optimum, quantities, options);
    for (size_t k = 0; k < truths.size(); ++k) {
      const Estimate& one = intervals.estimates[k];
      missing[i] |= !one.lower;
      covered[i][k] = one.lower && *one.lower <= truths[k] && truths[k] <= *one.upper;
    }
  });
  std::printf("%-20s %-8s", named.name, Name(objective).c_str());
  for (size_t k = 0; k < truths.size(); ++k) {
    int count = 0;
    for (const auto& row : covered) count += row[k];
    std::printf(" %7.3f", count / double(sweeps));
  }
  int none = 0;
  for (char m : missing) none += m;
  std::printf(" %8.3f\n", none / double(sweeps));
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const int sweeps = std::atoi(Option(argc, argv, "sweeps", "2000").c_str());
  const int seed = std::atoi(Option(argc, argv, "seed", "1").c_str());
  const int threads = std::atoi(Option(argc, argv, "threads", "2").c_str());
  const std::string design = Option(argc, argv, "design", "all");
  const std::string objective = Option(argc, argv, "objective", "all");
  if (sweeps < 1 || threads < 1) {
    std::fprintf(stderr, "coverage: --sweeps and --threads must be at least 1\n");
    return 2;
  }
  bool any = false;
  std::printf("%-20s %-8s %7s %7s %7s %7s %7s %8s\n", "design", "method", "alpha", "beta", "E", "a",
              "L*", "no bound");
  for (const Named& named : kDesigns) {
    if (design != "all" && design != named.name) continue;
    for (ObjectiveKind kind :
         {ObjectiveKind::kLsqLog, ObjectiveKind::kHuber, ObjectiveKind::kLad}) {
      if (objective != "all" && objective != Name(kind)) continue;
      RunDesign(named, kind, sweeps, seed, threads);
      any = true;
    }
  }
  if (!any) {
    std::fprintf(stderr, "coverage: no design '%s' with objective '%s'; designs are all",
                 design.c_str(), objective.c_str());
    for (const Named& named : kDesigns) std::fprintf(stderr, ", %s", named.name);
    std::fprintf(stderr, "; objectives all, lsq-log, huber, lad\n");
  }
  return any ? 0 : 2;
}

}  // namespace
}  // namespace allometry::fitting

int main(int argc, char** argv) { return allometry::fitting::Main(argc, argv); }
