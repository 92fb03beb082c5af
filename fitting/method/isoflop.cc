#include "fitting/method/isoflop.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

constexpr double kGroupGap = 0.08;    // ln C: a wider gap begins another budget
constexpr double kGroupWidth = 0.30;  // ln C: anything wider is a curve, not a budget
constexpr int kFewestSizes = 4;       // one more than a parabola needs
constexpr int kSide = 3;              // sizes to each side of the best one, on curves
constexpr int kGridStride = 10;       // of the frontier's 100 C a decade

int DistinctSizes(std::vector<double> log_params) {
  std::sort(log_params.begin(), log_params.end());
  int count = 0;
  double last = 0;
  for (double value : log_params) {
    if (count == 0 || value - last > 1e-3) ++count;
    last = value;
  }
  return count;
}

}  // namespace

IsoflopPlan::IsoflopPlan(const DataView& view, const Clusters& curves)
    : six_n_d_(view.cost.six_n_d()), curves_(view, curves, Minimum::kParabola) {
  const std::vector<Observation>& points = view.points;
  for (const Observation& p : points) {
    log_params_.push_back(std::log(p.params));
    log_tokens_.push_back(std::log(p.tokens));
  }
  // Where the data marks the ends of planned cells, budgets are among those.
  const bool marked =
      std::any_of(points.begin(), points.end(), [](const Observation& p) { return p.ends_cell; });
  std::vector<int> order;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!marked || points[i].ends_cell) order.push_back(static_cast<int>(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return points[a].flops < points[b].flops; });
  size_t grouped = 0;
  for (size_t first = 0; first < order.size();) {
    size_t last = first + 1;
    const auto log_flops = [&](size_t k) { return std::log(points[order[k]].flops); };
    while (last < order.size() && log_flops(last) - log_flops(last - 1) <= kGroupGap) ++last;
    Group group{0, {order.begin() + first, order.begin() + last}};
    std::vector<double> sizes;
    for (int i : group.points) {
      sizes.push_back(log_params_[i]);
      group.log_flops += std::log(points[i].flops) / static_cast<double>(group.points.size());
    }
    // Several points of one size at one C are seeds; many are a piece of its curve.
    const int distinct = DistinctSizes(sizes);
    if (log_flops(last - 1) - log_flops(first) <= kGroupWidth && distinct >= kFewestSizes) {
      grouped += last - first;
      groups_.push_back(std::move(group));
    }
    first = last;
  }
  if (groups_.size() < 2 || grouped * 2 < order.size()) groups_.clear();
}

FrontierResult IsoflopPlan::EvaluateGroups(const std::vector<double>& log_loss) const {
  FrontierResult result;
  std::vector<double> x, y;
  for (const Group& group : groups_) {
    x.clear(), y.clear();
    double low = log_params_[group.points.front()], high = low;
    for (int i : group.points) {
      x.push_back(log_params_[i]);
      y.push_back(std::exp(log_loss[i]));
      low = std::min(low, x.back());
      high = std::max(high, x.back());
    }
    result.widest = std::max(result.widest, static_cast<int>(x.size()));
    const std::optional<Vertex> vertex = ParabolaVertex(x, y);
    if (!vertex || vertex->x <= low || vertex->x >= high || !(vertex->y > 0)) continue;
    double tokens = group.log_flops - std::log(6.0) - vertex->x;
    if (!six_n_d_) {
      // ln D is nearly linear in ln N within a budget.
      double n = static_cast<double>(x.size()), mx = 0, my = 0, xx = 0, xy = 0;
      for (int i : group.points) mx += log_params_[i] / n, my += log_tokens_[i] / n;
      for (int i : group.points) {
        xx += (log_params_[i] - mx) * (log_params_[i] - mx);
        xy += (log_params_[i] - mx) * (log_tokens_[i] - my);
      }
      tokens = my + xy / xx * (vertex->x - mx);
    }
    result.points.push_back({group.log_flops, vertex->x, tokens, std::log(vertex->y)});
  }
  return result;
}

FrontierResult IsoflopPlan::EvaluateCurves(const std::vector<double>& log_loss) const {
  FrontierResult result;
  const std::vector<std::vector<double>> smooth = curves_.Smooth(log_loss);
  std::vector<double> x, y;
  for (size_t g = 0; g < curves_.grid_.size(); g += kGridStride) {
    const auto seen = curves_.Look(g, smooth);
    const int n = static_cast<int>(seen.size());
    if (n < kFewestSizes) continue;
    int best = 0;
    for (int k = 1; k < n; ++k) {
      if (seen[k].log_loss < seen[best].log_loss) best = k;
    }
    // The same reach to both sides: a lopsided parabola leans.
    const int reach = std::min({kSide, best, n - 1 - best});
    if (reach < 1) continue;
    int first = best - reach, last = best + reach;
    if (reach == 1) (first > 0 ? first-- : last++);  // four sizes: more than a parabola needs
    x.clear(), y.clear();
    for (int k = first; k <= last; ++k) {
      x.push_back(seen[k].log_params);
      y.push_back(std::exp(seen[k].log_loss));
    }
    result.widest = std::max(result.widest, static_cast<int>(x.size()));
    const std::optional<Vertex> vertex = ParabolaVertex(x, y);
    if (!vertex || vertex->x <= x.front() || vertex->x >= x.back() || !(vertex->y > 0)) continue;
    double tokens = curves_.grid_[g] - std::log(6.0) - vertex->x;
    if (!six_n_d_) {
      int k = first + 1;
      while (k < last && seen[k].log_params < vertex->x) ++k;
      const double fraction =
          (vertex->x - seen[k - 1].log_params) / (seen[k].log_params - seen[k - 1].log_params);
      tokens = seen[k - 1].log_tokens + fraction * (seen[k].log_tokens - seen[k - 1].log_tokens);
    }
    result.points.push_back({curves_.grid_[g], vertex->x, tokens, std::log(vertex->y)});
  }
  return result;
}

FrontierResult IsoflopPlan::Evaluate(const std::vector<double>& log_loss) const {
  FrontierResult result = groups_.empty() ? EvaluateCurves(log_loss) : EvaluateGroups(log_loss);
  const bool spread = result.points.size() >= 2 &&
                      result.points.front().log_flops != result.points.back().log_flops;
  if (!spread) {
    result.refused = absl::StrFormat(
        "%d budget%s with a parabola that opens upwards around a vertex inside its sizes: at "
        "least 2 are needed",
        result.points.size(), result.points.size() == 1 ? "" : "s");
    return result;
  }
  result.laws = FitPowerLaws(result.points, six_n_d_);
  return result;
}

}  // namespace allometry::fitting
