#include "fitting/method/window.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_format.h"
#include "fitting/method/settled.h"

namespace allometry::fitting {
namespace {

constexpr int kRunPoints = 5;                   // fewer of a run are its end, not a curve
constexpr int kSizePoints = 10;                 // the same of a size, where runs have no labels
constexpr int kFewestOfSize = 3;                // points of one size in a window
constexpr double kThreshold = 2;                // factor between thresholds
constexpr double kFewestShare = 0.2;            // of the points, in a window
constexpr double kOrigins[] = {0.5, 1.0, 1.5};  // decades below the largest C
constexpr double kTargetShare = 0.5;            // of the sizes at a C, the best, are targets
constexpr double kFewestTargets = 3;
constexpr double kBeyond = 2;        // of the smallest settled threshold
constexpr double kBin = 0.1;         // decades of C within which sizes are compared
constexpr size_t kMostPoints = 800;  // beyond, every k-th is read

double Measure(WindowKind kind, const Observation& p) {
  switch (kind) {
    case WindowKind::kTokens:
      return p.tokens;
    case WindowKind::kTokensPerParam:
      return p.tokens / p.params;
    case WindowKind::kFlops:
      return p.compute();
    case WindowKind::kAuto:
    case WindowKind::kAll:
      break;
  }
  return std::numeric_limits<double>::infinity();
}

// Whether a window leaves enough points, of enough sizes; sets their number.
bool LeavesEnough(const DataView& view, const Clusters& sizes, const Problem& problem,
                  const Window& window, int64_t* points) {
  std::vector<int> count(sizes.count, 0);
  *points = 0;
  for (size_t i = 0; i < view.points.size(); ++i) {
    if (!Contains(window, view.points[i])) continue;
    ++*points;
    ++count[sizes.of[i]];
  }
  const auto left =
      std::count_if(count.begin(), count.end(), [](int n) { return n >= kFewestOfSize; });
  const auto share = static_cast<int64_t>(static_cast<double>(view.points.size()) * kFewestShare);
  return left >= kFewestClusters && *points >= std::max<int64_t>(4 * problem.law->free, share);
}

DataView Thinned(const DataView& view) {
  DataView thin = view;
  const size_t step = (view.points.size() + kMostPoints - 1) / kMostPoints;
  if (step <= 1) return thin;
  thin.points.clear();
  thin.sample.Clear();
  for (size_t i = 0; i < view.points.size(); i += step) {
    thin.points.push_back(view.points[i]);
    thin.sample.Append(view.sample, i, 1);
  }
  return thin;
}

// The targets of the back-test, by index into view.points: at each tenth of a decade of C, the
// points of the best sizes.
std::vector<int> NearOptimal(const DataView& view) {
  const Clusters sizes = MakeClusters(view.points, Cluster::kParams);
  std::map<int, std::map<int, std::vector<int>>> bins;  // bin of C -> size -> points
  for (size_t i = 0; i < view.points.size(); ++i) {
    const int bin = static_cast<int>(std::floor(std::log10(view.points[i].flops) / kBin));
    bins[bin][sizes.of[i]].push_back(static_cast<int>(i));
  }
  std::vector<int> near;
  for (const auto& [bin, of_size] : bins) {
    std::vector<std::pair<double, const std::vector<int>*>> means;
    for (const auto& [size, members] : of_size) {
      double mean = 0;
      for (int i : members) {
        mean += view.sample.log_loss[i] / static_cast<double>(members.size());
      }
      means.push_back({mean, &members});
    }
    std::sort(means.begin(), means.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    const size_t best =
        static_cast<size_t>(std::ceil(kTargetShare * static_cast<double>(means.size())));
    for (size_t k = 0; k < best; ++k) {
      near.insert(near.end(), means[k].second->begin(), means[k].second->end());
    }
  }
  std::sort(near.begin(), near.end());
  return near;
}

// A window, and the law fitted to its points.
struct Candidate {
  Window window;
  int64_t points = 0;
  Theta theta = Theta::Zero();
  CurveStarts starts;

  bool Settled() const { return starts.read && starts.settled; }
};

std::optional<Theta> FitIn(const WindowedView& windowed, const Problem& problem,
                           const Theta& start) {
  const Sample& sample = windowed.view.sample;
  const Refit refit = RefitFrom(problem, sample, start, Box::For(sample, *problem.law));
  if (!refit.converged || refit.at_bound) return std::nullopt;
  return refit.theta;
}

bool FitWindow(const DataView& view, const Clusters& curves, const Problem& problem,
               const Theta& start, Candidate& candidate) {
  const WindowedView windowed = Restrict(view, candidate.window);
  const std::optional<Theta> theta = FitIn(windowed, problem, start);
  if (!theta) return false;
  candidate.theta = *theta;
  candidate.starts =
      ReadStarts(windowed.view, Restrict(curves, windowed.index), *problem.law, *theta);
  return true;
}

// Of each kind the smallest threshold from which the curves are settled, or where none is the
// largest that leaves enough points.
std::vector<Candidate> SettledWindows(const DataView& view, const Clusters& curves,
                                      const Problem& problem, const Theta& of_all) {
  const Clusters sizes = MakeClusters(view.points, Cluster::kParams);
  std::vector<Candidate> settled, strictest;
  for (WindowKind kind : {WindowKind::kTokens, WindowKind::kTokensPerParam, WindowKind::kFlops}) {
    double least = std::numeric_limits<double>::infinity();
    for (const Observation& p : view.points) least = std::min(least, Measure(kind, p));
    std::optional<Candidate> last;
    Theta theta = of_all;
    for (int k = 1;; ++k) {
      Candidate candidate;
      candidate.window = {kind, least * std::pow(kThreshold, k)};
      if (!LeavesEnough(view, sizes, problem, candidate.window, &candidate.points)) break;
      if (!FitWindow(view, curves, problem, theta, candidate)) continue;
      theta = candidate.theta;
      last = candidate;
      if (candidate.Settled()) break;
    }
    if (!last) continue;
    if (last->Settled()) {
      // What the test no longer sees still moves the exponents.
      Candidate beyond;
      beyond.window = {kind, last->window.at_least * kBeyond};
      if (LeavesEnough(view, sizes, problem, beyond.window, &beyond.points) &&
          FitWindow(view, curves, problem, last->theta, beyond) && beyond.starts.settled) {
        last = beyond;
      }
    }
    (last->Settled() ? settled : strictest).push_back(*last);
  }
  return settled.empty() ? strictest : settled;
}

// Fits every window to its points below each origin and predicts the targets above it. Origins at
// which one of the windows cannot be fitted are left out for all; with none left, no scores.
std::vector<WindowScore> BackTestWindows(const DataView& view, const Problem& problem,
                                         const std::vector<Candidate>& candidates) {
  const Objective log_residual{ObjectiveKind::kLad, 0};
  const Box box = Box::For(view.sample, *problem.law);
  const std::vector<int> near = NearOptimal(view);
  std::vector<WindowScore> scores;
  for (const Candidate& one : candidates) scores.push_back({one.window, one.points});
  double origins = 0;
  for (double decades : kOrigins) {
    const double cutoff = view.highest_flops() * std::pow(10, -decades);
    std::vector<std::pair<double, double>> sums;  // squares, errors
    double targets = 0;
    for (const Candidate& one : candidates) {
      const Sample below = Restrict(view, one.window, cutoff);
      if (below.size() < static_cast<size_t>(problem.law->free) + 2) break;
      const Refit refit = RefitFrom(problem, below, one.theta, box);
      if (!refit.converged || refit.at_bound) break;
      std::pair<double, double> sum = {0, 0};
      targets = 0;
      for (int i : near) {
        if (view.points[i].flops < cutoff) continue;
        const double r = Residual(*problem.law, log_residual, view.sample, refit.theta, i, nullptr);
        sum.first += r * r, sum.second += r, targets += 1;
      }
      sums.push_back(sum);
    }
    if (sums.size() < candidates.size() || targets < kFewestTargets) continue;
    origins += 1;
    for (size_t c = 0; c < scores.size(); ++c) {
      scores[c].rms += sums[c].first / targets;
      scores[c].mean += sums[c].second / targets;
    }
  }
  if (origins == 0) return {};
  for (WindowScore& score : scores) {
    score.rms = std::sqrt(score.rms / origins);
    score.mean /= origins;
  }
  return scores;
}

}  // namespace

bool Contains(const Window& window, const Observation& point) {
  return Measure(window.kind, point) >= window.at_least;
}

Sample Restrict(const DataView& view, const Window& window, double below_flops) {
  Sample sample;
  sample.x_center = view.sample.x_center;
  sample.y_center = view.sample.y_center;
  for (size_t i = 0; i < view.points.size(); ++i) {
    if (Contains(window, view.points[i]) && view.points[i].flops < below_flops) {
      sample.Append(view.sample, i, 1);
    }
  }
  return sample;
}

WindowedView Restrict(const DataView& view, const Window& window) {
  std::vector<int> index;
  for (size_t i = 0; i < view.points.size(); ++i) {
    if (Contains(window, view.points[i])) index.push_back(static_cast<int>(i));
  }
  return Restrict(view, index);
}

WindowedView Restrict(const DataView& view, const std::vector<int>& index) {
  WindowedView windowed;
  windowed.index = index;
  if (windowed.Whole(view)) {
    windowed.view = view;
    return windowed;
  }
  windowed.view.params_policy = view.params_policy;
  windowed.view.flops_convention = view.flops_convention;
  windowed.view.cost = view.cost;
  windowed.view.sample.x_center = view.sample.x_center;
  windowed.view.sample.y_center = view.sample.y_center;
  for (int i : index) {
    windowed.view.points.push_back(view.points[i]);
    windowed.view.sample.Append(view.sample, i, 1);
  }
  return windowed;
}

Clusters Restrict(const Clusters& clusters, const std::vector<int>& index) {
  Clusters kept;
  kept.by = clusters.by;
  std::vector<int> number(clusters.count, -1);
  for (int i : index) {
    int& of = number[clusters.of[i]];
    if (of < 0) of = kept.count++;
    kept.of.push_back(of);
  }
  return kept;
}

bool MostlyCurves(const DataView& view) {
  const Clusters curves = MakeCurves(view.points);
  const size_t fewest = curves.by == "run" ? kRunPoints : kSizePoints;
  size_t in_curves = 0;
  for (const auto& members : curves.Members()) {
    if (members.size() >= fewest) in_curves += members.size();
  }
  return in_curves * 2 >= view.points.size();
}

std::optional<Theta> FitLaterWindow(const DataView& view, const Problem& problem,
                                    const Window& window, const Theta& start) {
  if (window.kind == WindowKind::kAll) return std::nullopt;
  const Clusters sizes = MakeClusters(view.points, Cluster::kParams);
  for (double times : {kThreshold * kThreshold, kThreshold}) {
    const Window later = {window.kind, window.at_least * times};
    int64_t points = 0;
    if (LeavesEnough(view, sizes, problem, later, &points)) {
      return FitIn(Restrict(view, later), problem, start);
    }
  }
  return std::nullopt;
}

WindowChoice ChooseWindow(const DataView& whole, const Problem& problem) {
  WindowChoice choice;
  choice.window.kind = WindowKind::kAll;
  if (!MostlyCurves(whole)) {
    choice.why = "the data are ends of runs, not training curves";
    return choice;
  }
  const DataView view = Thinned(whole);
  if (MakeClusters(view.points, Cluster::kParams).count < kFewestClusters) {
    choice.why = absl::StrFormat("fewer than %d sizes have curves", kFewestClusters);
    return choice;
  }
  const Clusters curves = MakeCurves(view.points);
  const Optimum optimum = FindOptimum(problem, view.sample);
  Candidate all;
  all.window.kind = WindowKind::kAll;
  all.points = static_cast<int64_t>(view.points.size());
  if (!optimum.exists) {
    choice.why = "the law cannot be fitted to all points";
    return choice;
  }
  all.theta = optimum.theta;
  all.starts = ReadStarts(view, curves, *problem.law, all.theta);
  if (all.starts.settled) {
    choice.why = "the curves lie on the law from their first points on";
    return choice;
  }
  std::vector<Candidate> candidates = SettledWindows(view, curves, problem, all.theta);
  if (candidates.empty()) {
    choice.why = "the curves begin off the law, and no window leaves enough of them";
    return choice;
  }
  const bool settled = candidates.front().Settled();
  candidates.push_back(all);
  const std::vector<WindowScore> scores = BackTestWindows(view, problem, candidates);
  size_t best = 0;
  // Where no window is settled every point may be as good.
  const size_t choices = candidates.size() - (settled ? 1 : 0);
  for (size_t c = 1; c < choices; ++c) {
    if (scores.empty() ? candidates[c].points > candidates[best].points
                       : scores[c].rms < scores[best].rms) {
      best = c;
    }
  }
  choice.window = candidates[best].window;
  if (!scores.empty()) {
    choice.chosen = scores[best];
    choice.all = scores.back();
  }
  choice.why = absl::StrFormat(
      "curves begin %.2g above or below the law in ln L, in the window %.2g%s", all.starts.rms,
      candidates[best].starts.rms, settled ? "" : "; no window is settled");
  return choice;
}

}  // namespace allometry::fitting
