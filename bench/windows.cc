// Do intervals cover, and is the exponent right, where curves begin with a transient?
//   build/bench/windows [--sweeps=200] [--csv=FILE]
#include <cstdio>
#include <string>

#include "fitting/data/csv.h"
#include "fitting/interval/interval.h"
#include "fitting/interval/lack_of_fit.h"
#include "fitting/method/window.h"
#include "fitting/solve/parallel.h"
#include "tests/fitting/synthetic_sweep.h"

namespace allometry::fitting {
namespace {

const Problem kHuber{&FindLaw(LawKind::kStandard), {ObjectiveKind::kHuber, 1e-3}, 0};

void Print(const char* name, const WindowChoice& choice) {
  std::printf("%s %s", name, Name(choice.window).c_str());
  if (choice.all) {
    std::printf(" all rms %.5f mean %+.5f, chosen rms %.5f mean %+.5f n %d", choice.all->rms,
                choice.all->mean, choice.chosen->rms, choice.chosen->mean,
                int(choice.chosen->points));
  }
  std::printf(" (%s)\n", choice.why.c_str());
}

void File(const std::string& path) {
  const auto data = ReadCsv(path);
  if (!data.ok()) return;
  const Views views = MakeViews(*data, {}, false);
  const DataView& view = views.all.front();
  const WindowChoice choice = ChooseWindow(view, kHuber);
  Print(path.c_str(), choice);
  const std::vector<Window> windows = {{WindowKind::kAll, 0}, choice.window};
  for (const Window& window : windows) {
    const Sample s = Restrict(view, window, 1e300);
    const Optimum o = FindOptimum(kHuber, s);
    std::vector<Observation> kept;
    for (const Observation& p : view.points) {
      if (Contains(window, p)) kept.push_back(p);
    }
    const LackOfFit lack =
        TestLackOfFit(*kHuber.law, s, MakeClusters(kept, Cluster::kParams), o.theta);
    for (const Contrast& c : lack.contrasts)
      std::printf("      %s size %.4f share %.3f t %.2f\n", c.name.c_str(), c.size, c.share, c.t);
    std::printf("  %-22s n %zu E %.4f alpha %.4f beta %.4f a %.4f  lack of fit p %.3f\n",
                Name(window).c_str(), s.size(), std::exp(o.theta[kLogE]), o.theta[kAlpha],
                o.theta[kBeta], o.theta[kBeta] / (o.theta[kAlpha] + o.theta[kBeta]),
                lack.p.value_or(-1));
  }
}

void Sweeps(Transient transient, const char* name, int sweeps, double noise, double offset) {
  TransientDesign design;
  design.transient = transient;
  design.noise = noise;
  design.offset = offset;
  const Truth truth = TransientTruth();
  struct Row {
    double a_all, a, beta, rms_ratio;
    bool cover_all, cover, cover_e, cover_l, all;
    double p_all, p;
  };
  std::vector<Row> rows(sweeps);
  ParallelFor(sweeps, 1, {}, [&](int s) {
    const Views views = MakeViews(TransientSweep(s, design), {}, false);
    const DataView& view = views.all.front();
    const std::vector<Quantity> quantities = {{QuantityKind::kBeta, 0, {}},
                                              {QuantityKind::kFloor, 0, {}},
                                              {QuantityKind::kLoss, 1e24, {}},
                                              {QuantityKind::kA, 0, {}}};
    IntervalOptions options;
    const auto lack = [&](const Window& window) {
      std::vector<Observation> kept;
      for (const Observation& p : view.points) {
        if (Contains(window, p)) kept.push_back(p);
      }
      const Sample sample = Restrict(view, window, 1e300);
      return TestLackOfFit(*kHuber.law, sample, MakeClusters(kept, Cluster::kParams),
                           FindOptimum(kHuber, sample).theta)
          .p.value_or(1);
    };
    const auto fit = [&](const Window& window) {
      std::vector<Observation> kept;
      for (const Observation& p : view.points) {
        if (Contains(window, p)) kept.push_back(p);
      }
      const Sample sample = Restrict(view, window, 1e300);
      const Optimum optimum = FindOptimum(kHuber, sample);
      options.other = FitLaterWindow(view, kHuber, window, optimum.theta);
      return MakeIntervals(kHuber, sample, MakeClusters(kept, Cluster::kParams), optimum,
                           quantities, options);
    };
    const WindowChoice choice = ChooseWindow(view, kHuber);
    const Intervals all = fit({WindowKind::kAll, 0}), chosen = fit(choice.window);
    const auto holds = [&](const Estimate& e, double t) {
      return e.lower && *e.lower <= t && t <= *e.upper;
    };
    rows[s] = {*all.estimates[3].estimate,
               *chosen.estimates[3].estimate,
               *chosen.estimates[0].estimate,
               choice.all ? choice.all->rms / choice.chosen->rms : 0,
               holds(all.estimates[0], truth.beta),
               holds(chosen.estimates[0], truth.beta),
               holds(chosen.estimates[1], truth.floor),
               holds(chosen.estimates[2], truth.BestLoss(1e24)),
               choice.window.kind == WindowKind::kAll,
               lack({WindowKind::kAll, 0}),
               lack(choice.window)};
    if (s < 4) Print("   ", choice);
  });
  double n = sweeps, a_all = 0, a = 0, c_all = 0, c = 0, e = 0, l = 0, all = 0, p_all = 0, p = 0;
  std::vector<double> ratios, as;
  for (const Row& r : rows) {
    a_all += (r.a_all - truth.a()) / n, a += (r.a - truth.a()) / n;
    c_all += r.cover_all / n, c += r.cover / n, e += r.cover_e / n, l += r.cover_l / n;
    all += r.all / n;
    p_all += (r.p_all < 0.05) / n, p += (r.p < 0.05) / n;
    ratios.push_back(r.rms_ratio);
    as.push_back(r.a);
  }
  std::printf(
      "%-24s noise %.3f offset %.3f  all: a %+.4f beta %.3f | window: a %+.4f (sd %.4f) beta %.3f "
      "E %.3f L*(1e24) "
      "%.3f  'all' in %.2f; ratio median %.2f; rejected all %.2f window %.2f\n",
      name, noise, offset, a_all, c_all, a, StandardDeviation(as), c, e, l, all, Median(ratios),
      p_all, p);
  std::fflush(stdout);
}

}  // namespace
}  // namespace allometry::fitting

int main(int argc, char** argv) {
  using namespace allometry::fitting;
  int sweeps = 40;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.rfind("--sweeps=", 0) == 0) sweeps = std::stoi(arg.substr(9));
    if (arg.rfind("--csv=", 0) == 0) File(arg.substr(6));
  }
  if (sweeps > 0) {
    for (auto [noise, offset] : {std::pair{0.002, 0.004}, std::pair{0.004, 0.0}}) {
      Sweeps(Transient::kNone, "none", sweeps, noise, offset);
      Sweeps(Transient::kSmallRatio, "small, D/N", sweeps, noise, offset);
      Sweeps(Transient::kAllTokens, "all, D", sweeps, noise, offset);
      Sweeps(Transient::kSmallTokens, "small, D", sweeps, noise, offset);
      Sweeps(Transient::kPower, "all, power of D", sweeps, noise, offset);
    }
  }
}
