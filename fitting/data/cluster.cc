#include "fitting/data/cluster.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace allometry::fitting {
namespace {

constexpr double kSameSize = 1e-3;  // largest gap of ln N within one size

Clusters BySize(const std::vector<Observation>& points) {
  Clusters clusters;
  clusters.by = "params";
  clusters.of.resize(points.size());
  std::vector<int> order(points.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return points[a].params < points[b].params; });
  double last = 0;
  for (int i : order) {
    const double log_params = std::log(points[i].params);
    if (clusters.count == 0 || log_params - last > kSameSize) ++clusters.count;
    last = log_params;
    clusters.of[i] = clusters.count - 1;
  }
  return clusters;
}

Clusters ByRun(const std::vector<Observation>& points) {
  Clusters clusters;
  clusters.by = "run";
  clusters.of.resize(points.size());
  const Clusters sizes = BySize(points);
  std::unordered_map<int64_t, int> index;
  for (size_t i = 0; i < points.size(); ++i) {
    const int64_t key = points[i].run >= 0 ? points[i].run : -1 - int64_t{sizes.of[i]};
    const auto [found, inserted] = index.try_emplace(key, clusters.count);
    if (inserted) ++clusters.count;
    clusters.of[i] = found->second;
  }
  return clusters;
}

bool AnyRun(const std::vector<Observation>& points) {
  return std::any_of(points.begin(), points.end(), [](const auto& p) { return p.run >= 0; });
}

}  // namespace

std::vector<std::vector<int>> Clusters::Members() const {
  std::vector<std::vector<int>> members(count);
  for (size_t i = 0; i < of.size(); ++i) members[of[i]].push_back(static_cast<int>(i));
  return members;
}

Clusters MakeClusters(const std::vector<Observation>& points, Cluster cluster) {
  if (cluster == Cluster::kNone) {
    Clusters clusters;
    clusters.by = "none";
    clusters.count = static_cast<int>(points.size());
    clusters.of.resize(points.size());
    std::iota(clusters.of.begin(), clusters.of.end(), 0);
    return clusters;
  }
  if (cluster == Cluster::kRun) return ByRun(points);
  Clusters sizes = BySize(points);
  if (sizes.count == static_cast<int>(points.size()) && AnyRun(points)) {
    Clusters runs = ByRun(points);
    if (runs.count < sizes.count) return runs;
  }
  return sizes;
}

Clusters MakeCurves(const std::vector<Observation>& points) {
  return AnyRun(points) ? ByRun(points) : BySize(points);
}

}  // namespace allometry::fitting
