#include "fitting/method/isoflop.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

constexpr double kGroupGap = 0.08;    // ln C: a wider gap begins another budget
constexpr double kGroupWidth = 0.30;  // ln C: anything wider is a curve, not a budget
constexpr double kSameSize = 1e-3;    // ln N
constexpr int kFewestSizes = 4;       // one more than a parabola needs
constexpr int kSide = 3;              // sizes to each side of the best one
constexpr size_t kCubicPoints = 6;    // fewer: a parabola
constexpr int kGridStride = 10;       // of the frontier's 100 C a decade

int DistinctSizes(std::vector<double> log_params) {
  std::sort(log_params.begin(), log_params.end());
  int count = 0;
  double last = 0;
  for (double value : log_params) {
    if (count == 0 || value - last > kSameSize) ++count;
    last = value;
  }
  return count;
}

// A cubic's minimum through (x, y) by least squares, or a parabola's where there are few points or
// the cubic has no minimum between them.
std::optional<Vertex> LocalMinimum(const std::vector<double>& x, const std::vector<double>& y) {
  const double low = *std::min_element(x.begin(), x.end());
  const double high = *std::max_element(x.begin(), x.end());
  const auto inside = [&](const std::optional<Vertex>& v) {
    return v && v->x > low && v->x < high ? v : std::nullopt;
  };
  if (static_cast<size_t>(DistinctSizes(x)) < kCubicPoints) return inside(ParabolaVertex(x, y));
  const double center = 0.5 * (low + high), scale = 0.5 * (high - low);
  Eigen::Matrix4d gram = Eigen::Matrix4d::Zero();
  Eigen::Vector4d right = Eigen::Vector4d::Zero();
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = (x[i] - center) / scale;
    const Eigen::Vector4d row(1, u, u * u, u * u * u);
    gram += row * row.transpose();
    right += (y[i] - y[0]) * row;
  }
  const Eigen::Vector4d c = gram.ldlt().solve(right);
  const double discriminant = c[2] * c[2] - 3 * c[1] * c[3];
  if (c.allFinite() && discriminant > 0) {
    // The root where the second derivative is positive, without cancellation.
    const double root = std::sqrt(discriminant);
    const double u = c[2] > 0 ? -c[1] / (c[2] + root) : (root - c[2]) / (3 * c[3]);
    const double value = y[0] + c[0] + u * (c[1] + u * (c[2] + u * c[3]));
    if (std::isfinite(u) && std::abs(u) < 1) return Vertex{center + scale * u, value};
  }
  return inside(ParabolaVertex(x, y));
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

// The group's points of the best size and of kSide sizes to each side; none at an edge.
std::vector<int> IsoflopPlan::AboutTheBest(const Group& group,
                                           const std::vector<double>& log_loss) const {
  struct Size {
    double log_params = 0, log_loss = 0;
    std::vector<int> points;
  };
  std::vector<int> order = group.points;
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return log_params_[a] < log_params_[b]; });
  std::vector<Size> sizes;
  for (int i : order) {
    if (sizes.empty() || log_params_[i] - sizes.back().log_params > kSameSize) {
      sizes.push_back({log_params_[i], 0, {}});
    }
    sizes.back().points.push_back(i);
    sizes.back().log_loss +=
        (log_loss[i] - sizes.back().log_loss) / static_cast<double>(sizes.back().points.size());
  }
  const int n = static_cast<int>(sizes.size());
  int best = 0;
  for (int k = 1; k < n; ++k) {
    if (sizes[k].log_loss < sizes[best].log_loss) best = k;
  }
  std::vector<int> near;
  if (best == 0 || best + 1 == n) return near;  // the minimum was not seen
  for (int k = std::max(0, best - kSide); k <= std::min(n - 1, best + kSide); ++k) {
    near.insert(near.end(), sizes[k].points.begin(), sizes[k].points.end());
  }
  return near;
}

FrontierResult IsoflopPlan::EvaluateGroups(const std::vector<double>& log_loss) const {
  FrontierResult result;
  std::vector<double> x, y;
  for (const Group& group : groups_) {
    const std::vector<int> near = AboutTheBest(group, log_loss);
    if (near.empty()) continue;
    x.clear(), y.clear();
    for (int i : near) {
      x.push_back(log_params_[i]);
      y.push_back(std::exp(log_loss[i]));
    }
    result.widest = std::max(result.widest, static_cast<int>(x.size()));
    const std::optional<Vertex> vertex = LocalMinimum(x, y);
    if (!vertex || !(vertex->y > 0)) continue;
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
    const auto sizes_at = curves_.SizesAt(g, smooth);
    const int n = static_cast<int>(sizes_at.size());
    if (n < kFewestSizes) continue;
    int best = 0;
    for (int k = 1; k < n; ++k) {
      if (sizes_at[k].log_loss < sizes_at[best].log_loss) best = k;
    }
    // The same reach to both sides: a lopsided parabola leans.
    const int reach = std::min({kSide, best, n - 1 - best});
    if (reach < 1) continue;
    int first = best - reach, last = best + reach;
    if (reach == 1) (first > 0 ? first-- : last++);  // four sizes: more than a parabola needs
    x.clear(), y.clear();
    for (int k = first; k <= last; ++k) {
      x.push_back(sizes_at[k].log_params);
      y.push_back(std::exp(sizes_at[k].log_loss));
    }
    result.widest = std::max(result.widest, static_cast<int>(x.size()));
    const std::optional<Vertex> vertex = LocalMinimum(x, y);
    if (!vertex || !(vertex->y > 0)) continue;
    double tokens = curves_.grid_[g] - std::log(6.0) - vertex->x;
    if (!six_n_d_) {
      int k = first + 1;
      while (k < last && sizes_at[k].log_params < vertex->x) ++k;
      const double fraction = (vertex->x - sizes_at[k - 1].log_params) /
                              (sizes_at[k].log_params - sizes_at[k - 1].log_params);
      tokens = sizes_at[k - 1].log_tokens +
               fraction * (sizes_at[k].log_tokens - sizes_at[k - 1].log_tokens);
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
        "%d budget%s with a minimum between their sizes: at "
        "least 2 are needed",
        result.points.size(), result.points.size() == 1 ? "" : "s");
    return result;
  }
  result.laws = FitPowerLaws(result.points, six_n_d_);
  return result;
}

}  // namespace allometry::fitting
