#include "fitting/method/window.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

constexpr int kRunPoints = 5;        // fewer of a run are its end, not a curve
constexpr int kSizePoints = 10;      // the same of a size, where runs have no labels
constexpr int kFewestOfSize = 3;     // points of one size in a window
constexpr double kThreshold = 2;     // factor between candidates
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

// Sizes with at least kFewestOfSize points in the window.
int SizesLeft(const DataView& view, const Clusters& sizes, const Window& window, int64_t* points) {
  std::vector<int> count(sizes.count, 0);
  *points = 0;
  for (size_t i = 0; i < view.points.size(); ++i) {
    if (!Contains(window, view.points[i])) continue;
    ++*points;
    ++count[sizes.of[i]];
  }
  return static_cast<int>(
      std::count_if(count.begin(), count.end(), [](int n) { return n >= kFewestOfSize; }));
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

struct Origin {
  double flops = 0;
  std::vector<int> targets;
  Theta theta = Theta::Zero();  // of all points below it
};

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

std::vector<int> NearOptimal(const DataView& view, double share) {
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
    const size_t best = static_cast<size_t>(std::ceil(share * static_cast<double>(means.size())));
    for (size_t k = 0; k < best; ++k) {
      near.insert(near.end(), means[k].second->begin(), means[k].second->end());
    }
  }
  std::sort(near.begin(), near.end());
  return near;
}

WindowChoice ChooseWindow(const DataView& whole, const Problem& problem, const WindowRule& rule,
                          std::vector<WindowScore>* all_scores) {
  WindowChoice choice;
  choice.window.kind = WindowKind::kAll;
  if (!MostlyCurves(whole)) {
    choice.why = "the data are ends of runs, not training curves";
    return choice;
  }
  const DataView view = Thinned(whole);
  const Clusters sizes = MakeClusters(view.points, Cluster::kParams);
  const int free = problem.law->free;
  std::vector<Origin> origins;
  const std::vector<int> near = NearOptimal(view, rule.share);
  for (double decades : rule.origins) {
    Origin origin;
    origin.flops = view.highest_flops() * std::pow(10, -decades);
    for (int i : near) {
      const double flops = view.points[i].flops;
      if (flops >= origin.flops && flops < origin.flops * std::pow(10, rule.horizon))
        origin.targets.push_back(i);
    }
    origins.push_back(std::move(origin));
  }
  struct Candidate {
    Window window;
    int64_t points = 0;
  };
  std::vector<Candidate> candidates;
  const int64_t fewest = std::max<int64_t>(4 * free, static_cast<int64_t>(view.points.size()) / 4);
  std::vector<WindowKind> kinds = rule.kinds;
  kinds.insert(kinds.begin(), WindowKind::kAll);
  for (WindowKind kind : kinds) {
    double least = std::numeric_limits<double>::infinity();
    for (const Observation& p : view.points) least = std::min(least, Measure(kind, p));
    for (int k = 1;; ++k) {
      Candidate candidate;
      candidate.window.kind = kind;
      if (kind != WindowKind::kAll) candidate.window.at_least = least * std::pow(kThreshold, k);
      const int left = SizesLeft(view, sizes, candidate.window, &candidate.points);
      if (left < kFewestClusters || candidate.points < fewest) break;
      candidates.push_back(candidate);
      if (kind == WindowKind::kAll) break;
    }
  }
  if (candidates.empty()) {
    choice.why = absl::StrFormat("fewer than %d sizes have curves", kFewestClusters);
    return choice;
  }
  const Objective log_residual{ObjectiveKind::kLad, 0};
  const Box box = Box::For(view.sample, *problem.law);
  std::vector<std::optional<WindowScore>> scores;
  std::vector<Origin> used;
  for (size_t c = 0; c < candidates.size(); ++c) {
    WindowScore score{candidates[c].window, candidates[c].points};
    bool fitted = true;
    double origins_read = 0;
    for (const Origin& origin : c == 0 ? origins : used) {
      const Sample below = Restrict(view, score.window, origin.flops);
      Theta theta;
      if (c == 0) {
        if (origin.targets.size() < 3 || below.size() < static_cast<size_t>(3 * free)) continue;
        const Optimum optimum = FindOptimum(problem, below);
        if (!optimum.exists || optimum.refused) continue;
        theta = optimum.theta;
        used.push_back(origin);
        used.back().theta = theta;
      } else {
        // From the fit of all points: windows are near each other.
        if (below.size() < static_cast<size_t>(free) + 2) {
          fitted = false;
          break;
        }
        const Refit refit = RefitFrom(problem, below, origin.theta, box);
        if (!refit.converged || refit.at_bound) {
          fitted = false;
          break;
        }
        theta = refit.theta;
      }
      double squares = 0, sum = 0;
      for (int i : origin.targets) {
        const double r = Residual(*problem.law, log_residual, view.sample, theta, i, nullptr);
        squares += r * r;
        sum += r;
      }
      const double n = static_cast<double>(origin.targets.size());
      score.rms += squares / n;
      score.mean += sum / n;
      origins_read += 1;
    }
    if (!fitted || origins_read == 0) {
      scores.push_back(std::nullopt);
      if (c == 0) break;
      continue;
    }
    score.rms = std::sqrt(score.rms / origins_read);
    score.mean /= origins_read;
    scores.push_back(score);
  }
  if (used.empty()) {
    choice.why = "no back-test: too little is left below the top half decade of compute";
    return choice;
  }
  double least = std::numeric_limits<double>::infinity();
  for (const auto& score : scores) {
    if (score) least = std::min(least, score->rms);
    choice.candidates += score.has_value();
    if (score && all_scores != nullptr) all_scores->push_back(*score);
  }
  choice.all = scores.front();
  if (choice.all->rms <= rule.gate * least) {
    choice.chosen = choice.all;
  } else {
    for (const auto& score : scores) {
      if (!score || score->rms > rule.tolerance * least) continue;
      if (!choice.chosen || score->points > choice.chosen->points) choice.chosen = score;
    }
    Window further = choice.chosen->window;
    further.at_least *= rule.beyond;
    int64_t points = 0;
    if (SizesLeft(view, sizes, further, &points) >= kFewestClusters && points >= fewest) {
      choice.chosen->window = further;
      choice.chosen->points = points;
    }
  }
  choice.window = choice.chosen->window;
  choice.why = choice.window.kind == WindowKind::kAll
                   ? "no window predicts clearly better than all points"
                   : "it predicts clearly better from below than all points";
  return choice;
}

}  // namespace allometry::fitting
