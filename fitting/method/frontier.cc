#include "fitting/method/frontier.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_format.h"
#include "fitting/method/akima.h"

namespace allometry::fitting {
namespace {

const double kHalfWindow = 0.05 * std::log(10.0);  // in ln D, to each side
const double kGridStep = std::log(10.0) / 100;     // of ln C
constexpr size_t kMostGrid = 2000;
const double kWidestGap = 0.31 * std::log(10.0);  // in ln C: a factor of two, not further
constexpr double kSameSize = 1e-3;
constexpr double kNearSize = 0.1;  // of ln N: shapes of one size, merged where they are compared
// How far a parabola's vertex may lie below the best size seen. For an exact parabola it is at most
// an eighth of the climb to the higher neighbour.
constexpr double kDeepest = 0.25, kDeepestAlways = 0.005;

}  // namespace

std::optional<Vertex> ParabolaVertex(const std::vector<double>& x, const std::vector<double>& y,
                                     const std::vector<double>* weights) {
  const size_t n = x.size();
  if (n < 3) return std::nullopt;
  double center = 0;
  for (double value : x) center += value;
  center /= static_cast<double>(n);
  Eigen::Matrix3d gram = Eigen::Matrix3d::Zero();
  Eigen::Vector3d right = Eigen::Vector3d::Zero();
  for (size_t i = 0; i < n; ++i) {
    const double u = x[i] - center, w = weights != nullptr ? (*weights)[i] : 1;
    const Eigen::Vector3d row(1, u, u * u);
    gram += w * row * row.transpose();
    right += w * (y[i] - y[0]) * row;
  }
  const Eigen::Vector3d c = gram.ldlt().solve(right);
  if (!c.allFinite() || !(c[2] > 0)) return std::nullopt;
  const double u = -c[1] / (2 * c[2]);
  return Vertex{center + u, y[0] + c[0] + 0.5 * c[1] * u};
}

PowerLaws FitPowerLaws(const std::vector<FrontierPoint>& points, bool six_n_d) {
  PowerLaws laws;
  double mean_c = 0, mean_n = 0, mean_d = 0;
  const double n = static_cast<double>(points.size());
  for (const FrontierPoint& p : points) {
    mean_c += p.log_flops / n, mean_n += p.log_params / n, mean_d += p.log_tokens / n;
  }
  double cc = 0, cn = 0, cd = 0;
  for (const FrontierPoint& p : points) {
    const double c = p.log_flops - mean_c;
    cc += c * c, cn += c * (p.log_params - mean_n), cd += c * (p.log_tokens - mean_d);
  }
  laws.a = cn / cc;
  laws.log_params_at_one = mean_n - laws.a * mean_c;
  laws.b = six_n_d ? 1 - laws.a : cd / cc;
  laws.log_tokens_at_one =
      six_n_d ? -std::log(6.0) - laws.log_params_at_one : mean_d - laws.b * mean_c;
  for (const FrontierPoint& p : points) {
    const double rest = p.log_params - laws.log_params_at_one - laws.a * p.log_flops;
    laws.rms += rest * rest / n;
  }
  laws.rms = std::sqrt(laws.rms);
  return laws;
}

FrontierPlan::FrontierPlan(const DataView& view, const Clusters& curves, Minimum minimum)
    : minimum_(minimum), six_n_d_(view.cost.six_n_d()) {
  const std::vector<Observation>& points = view.points;
  for (std::vector<int>& members : curves.Members()) {
    Curve curve;
    curve.order = std::move(members);
    std::stable_sort(curve.order.begin(), curve.order.end(),
                     [&](int a, int b) { return points[a].flops < points[b].flops; });
    double log_params = 0;
    for (int i : curve.order) {
      log_params += std::log(points[i].params) / static_cast<double>(curve.order.size());
      curve.log_flops.push_back(std::log(points[i].flops));
      curve.log_tokens.push_back(std::log(points[i].tokens));
    }
    const int n = static_cast<int>(curve.order.size());
    for (int i = 0; i < n; ++i) {
      const double at = curve.log_tokens[i];
      const double room = std::min(at - curve.log_tokens.front(), curve.log_tokens.back() - at);
      const double half = std::min(kHalfWindow, room) * (1 + 1e-9);
      Knot knot{i, i + 1};
      while (knot.first > 0 && at - curve.log_tokens[knot.first - 1] <= half) --knot.first;
      while (knot.last < n && curve.log_tokens[knot.last] - at <= half) ++knot.last;
      curve.knots.push_back(knot);
    }
    const auto same = std::find_if(size_log_params_.begin(), size_log_params_.end(),
                                   [&](double s) { return std::abs(s - log_params) < kSameSize; });
    curve.size = static_cast<int>(same - size_log_params_.begin());
    if (same == size_log_params_.end()) size_log_params_.push_back(log_params);
    curves_.push_back(std::move(curve));
  }
  const double low = std::log(view.lowest_flops()), high = std::log(view.highest_flops());
  const double step = std::max(kGridStep, (high - low) / kMostGrid);
  for (double at = low; at <= high; at += step) grid_.push_back(at);
  curves_at_.resize(grid_.size());
  for (size_t g = 0; g < grid_.size(); ++g) {
    for (size_t c = 0; c < curves_.size(); ++c) {
      const std::vector<double>& flops = curves_[c].log_flops;
      const auto above = std::upper_bound(flops.begin(), flops.end(), grid_[g]);
      if (above == flops.begin() || above == flops.end()) continue;
      const int knot = static_cast<int>(above - flops.begin()) - 1;
      const double gap = flops[knot + 1] - flops[knot];
      if (gap > kWidestGap) continue;
      curves_at_[g].push_back({static_cast<int>(c), knot, (grid_[g] - flops[knot]) / gap});
    }
  }
}

std::vector<std::vector<double>> FrontierPlan::Smooth(const std::vector<double>& log_loss) const {
  std::vector<std::vector<double>> smooth;
  for (const Curve& curve : curves_) {
    std::vector<double> values;
    for (const Knot& knot : curve.knots) {
      double sum = 0;
      for (int k = knot.first; k < knot.last; ++k) sum += log_loss[curve.order[k]];
      values.push_back(sum / (knot.last - knot.first));
    }
    smooth.push_back(std::move(values));
  }
  return smooth;
}

std::vector<FrontierPlan::SizeAt> FrontierPlan::SizesAt(
    size_t g, const std::vector<std::vector<double>>& smooth) const {
  std::vector<SizeAt> sizes_at;
  std::vector<int> times;
  for (const CurveAt& at_curve : curves_at_[g]) {
    const Curve& curve = curves_[at_curve.curve];
    const std::vector<double>& y = smooth[at_curve.curve];
    const double loss =
        y[at_curve.knot] + at_curve.fraction * (y[at_curve.knot + 1] - y[at_curve.knot]);
    const double tokens =
        curve.log_tokens[at_curve.knot] +
        at_curve.fraction * (curve.log_tokens[at_curve.knot + 1] - curve.log_tokens[at_curve.knot]);
    const auto same = std::find_if(sizes_at.begin(), sizes_at.end(),
                                   [&](const SizeAt& s) { return s.size == curve.size; });
    if (same == sizes_at.end()) {
      sizes_at.push_back({curve.size, size_log_params_[curve.size], tokens, loss});
      times.push_back(1);
    } else {
      const int k = static_cast<int>(same - sizes_at.begin());
      ++times[k];
      same->log_loss += (loss - same->log_loss) / times[k];
      same->log_tokens += (tokens - same->log_tokens) / times[k];
    }
  }
  std::sort(sizes_at.begin(), sizes_at.end(),
            [](const SizeAt& a, const SizeAt& b) { return a.log_params < b.log_params; });
  // Sizes that nearly coincide are one: a parabola through two of them has their difference for a
  // slope, and its vertex anywhere.
  std::vector<SizeAt> merged;
  int members = 0;
  for (const SizeAt& one : sizes_at) {
    if (merged.empty() || one.log_params - merged.back().log_params > kNearSize) {
      merged.push_back(one);
      members = 1;
      continue;
    }
    SizeAt& into = merged.back();
    ++members;
    into.log_params += (one.log_params - into.log_params) / members;
    into.log_loss += (one.log_loss - into.log_loss) / members;
    into.log_tokens += (one.log_tokens - into.log_tokens) / members;
  }
  return merged;
}

namespace {

// ln D at ln N, between the sizes on either side.
template <class SizeAt>
double TokensAt(const std::vector<SizeAt>& sizes_at, double log_params) {
  size_t k = 1;
  while (k + 1 < sizes_at.size() && sizes_at[k].log_params < log_params) ++k;
  const double fraction = (log_params - sizes_at[k - 1].log_params) /
                          (sizes_at[k].log_params - sizes_at[k - 1].log_params);
  return sizes_at[k - 1].log_tokens +
         fraction * (sizes_at[k].log_tokens - sizes_at[k - 1].log_tokens);
}

}  // namespace

std::optional<FrontierPoint> FrontierPlan::MinimumAbout(const std::vector<SizeAt>& sizes_at,
                                                        double at, int center, int side) const {
  const int n = static_cast<int>(sizes_at.size());
  Vertex vertex{sizes_at[center].log_params, sizes_at[center].log_loss};
  if (minimum_ != Minimum::kArgmin) {
    std::vector<double> x, y;
    const int reach = minimum_ == Minimum::kAkima ? n : side;
    int best = std::max(0, center - reach);
    for (int k = best; k <= std::min(n - 1, center + reach); ++k) {
      x.push_back(sizes_at[k].log_params);
      y.push_back(sizes_at[k].log_loss);
      if (sizes_at[k].log_loss < sizes_at[best].log_loss) best = k;
    }
    const auto found = minimum_ == Minimum::kAkima ? AkimaMinimum(x, y) : ParabolaVertex(x, y);
    if (!found || found->x <= x.front() || found->x >= x.back()) return std::nullopt;
    if (best > 0 && best + 1 < n) {
      const double climb = std::max(sizes_at[best - 1].log_loss, sizes_at[best + 1].log_loss) -
                           sizes_at[best].log_loss;
      if (sizes_at[best].log_loss - found->y > std::max(kDeepestAlways, kDeepest * climb)) {
        return std::nullopt;
      }
    }
    vertex = *found;
  }
  return FrontierPoint{at, vertex.x,
                       six_n_d_ ? at - std::log(6.0) - vertex.x : TokensAt(sizes_at, vertex.x),
                       vertex.y};
}

FrontierResult FrontierPlan::Trace(const std::vector<std::vector<double>>& smooth, int side) const {
  FrontierResult result;
  result.widest = 2 * side + 1;
  std::set<int> centers;
  for (size_t g = 0; g < grid_.size(); ++g) {
    if (static_cast<int>(curves_at_[g].size()) < 2 * side + 1) continue;
    const std::vector<SizeAt> sizes_at = SizesAt(g, smooth);
    const int n = static_cast<int>(sizes_at.size());
    if (n < 2 * side + 1) continue;
    int best = 0;
    for (int k = 1; k < n; ++k) {
      if (sizes_at[k].log_loss < sizes_at[best].log_loss) best = k;
    }
    if (best < side || best + side >= n) continue;
    if (const auto point = MinimumAbout(sizes_at, grid_[g], best, side)) {
      centers.insert(sizes_at[best].size);
      result.points.push_back(*point);
    }
  }
  if (centers.size() < 2) {
    result.refused = absl::StrFormat(
        "a minimum with %d size%s on each side was found at %d of the sizes, and at least 2 are "
        "needed: the curves do not cross where larger and smaller models were seen",
        side, side == 1 ? "" : "s", centers.size());
    return result;
  }
  result.laws = FitPowerLaws(result.points, six_n_d_);
  return result;
}

// One point per size: the geometric centre of the range of C that it wins.
FrontierResult FrontierPlan::TraceCrossings(const std::vector<std::vector<double>>& smooth) const {
  FrontierResult result;
  result.widest = 1;
  struct Range {
    double first, last;
    double log_tokens, log_loss;
    bool edge = false;
  };
  std::vector<std::optional<Range>> ranges(size_log_params_.size());
  for (size_t g = 0; g < grid_.size(); ++g) {
    const std::vector<SizeAt> sizes_at = SizesAt(g, smooth);
    if (sizes_at.size() < 3) continue;
    size_t best = 0;
    for (size_t k = 1; k < sizes_at.size(); ++k) {
      if (sizes_at[k].log_loss < sizes_at[best].log_loss) best = k;
    }
    std::optional<Range>& range = ranges[sizes_at[best].size];
    if (!range)
      range = Range{grid_[g], grid_[g], sizes_at[best].log_tokens, sizes_at[best].log_loss};
    range->last = grid_[g];
    range->edge |= best == 0 || best + 1 == sizes_at.size();
  }
  for (size_t size = 0; size < ranges.size(); ++size) {
    if (!ranges[size] || ranges[size]->edge) continue;
    const double at = 0.5 * (ranges[size]->first + ranges[size]->last);
    const size_t g = std::min(grid_.size() - 1,
                              static_cast<size_t>((at - grid_[0]) / (grid_[1] - grid_[0]) + 0.5));
    for (const SizeAt& one : SizesAt(g, smooth)) {
      if (one.size != static_cast<int>(size)) continue;
      result.points.push_back({at, one.log_params,
                               six_n_d_ ? at - std::log(6.0) - one.log_params : one.log_tokens,
                               one.log_loss});
    }
  }
  std::sort(result.points.begin(), result.points.end(),
            [](const auto& p, const auto& q) { return p.log_flops < q.log_flops; });
  if (result.points.size() < 2 ||
      result.points.front().log_flops == result.points.back().log_flops) {
    result.refused = absl::StrFormat("%d sizes win a bracketed range of C: at least 2 are needed",
                                     result.points.size());
    return result;
  }
  result.laws = FitPowerLaws(result.points, six_n_d_);
  return result;
}

FrontierResult FrontierPlan::Evaluate(const std::vector<double>& log_loss) const {
  if (sizes() < 3) {
    FrontierResult result;
    result.refused =
        absl::StrFormat("%d model sizes: a bracketed minimum needs at least 3", sizes());
    return result;
  }
  if (std::all_of(curves_at_.begin(), curves_at_.end(),
                  [](const auto& s) { return s.size() < 3; })) {
    FrontierResult result;
    result.refused =
        "at no C do three curves have points within a factor of two of it on both sides: there is "
        "nothing to interpolate (isoFLOP and parametric fits need no curves)";
    return result;
  }
  const std::vector<std::vector<double>> smooth = Smooth(log_loss);
  if (minimum_ == Minimum::kCrossing) return TraceCrossings(smooth);
  if (minimum_ == Minimum::kArgmin) return Trace(smooth, 1);
  if (sizes() >= 5) {
    FrontierResult wide = Trace(smooth, 2);
    if (wide.laws) return wide;
  }
  return Trace(smooth, 1);
}

}  // namespace allometry::fitting
