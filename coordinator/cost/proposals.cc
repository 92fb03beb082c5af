#include "coordinator/cost/proposals.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "fitting/design/expected_width.h"

namespace allometry::cost {
namespace {

constexpr double kLeastGain = 1e-3;  // of the width
constexpr size_t kMostPoints = 60;   // of a curve

using Points = std::vector<fitting::Observation>;

// Of each size at most kMostPoints, evenly, the first and the last among them.
Points Thin(const Points& points) {
  std::map<double, Points> by_size;
  for (const fitting::Observation& point : points) by_size[point.params].push_back(point);
  Points thin;
  for (auto& [params, of_size] : by_size) {
    std::sort(of_size.begin(), of_size.end(),
              [](const auto& a, const auto& b) { return a.tokens < b.tokens; });
    const size_t count = std::min(of_size.size(), kMostPoints);
    for (size_t i = 0; i < count; ++i) {
      const size_t place = count == 1 ? 0 : i * (of_size.size() - 1) / (count - 1);
      thin.push_back(of_size[place]);
    }
  }
  return thin;
}

Points Joined(const Points& design, const Points& more) {
  Points joined = design;
  joined.insert(joined.end(), more.begin(), more.end());
  return joined;
}

}  // namespace

Choices ChooseCandidates(const std::vector<fitting::Observation>& design,
                         absl::Span<const Candidate> candidates, const fitting::Pilot& pilot,
                         const fitting::Objective& objective, const fitting::Quantity& target,
                         int count, const std::function<bool()>& is_gone) {
  Choices choices;
  std::string reason;
  fitting::WidthForecast forecast(pilot.law, pilot.noise, objective);
  const auto width = [&](const Points& points) -> std::optional<double> {
    const fitting::ExpectedWidths widths = forecast.Of(Thin(points), {target});
    if (widths.widths.empty()) {
      reason = widths.reason;
      return std::nullopt;
    }
    return 2 * widths.widths.front().half;
  };
  Points chosen = design;
  std::optional<double> now = width(chosen);
  if (!now) {
    choices.reason = reason;
    return choices;
  }
  std::set<std::string> curves;
  while (static_cast<int>(choices.best.size()) < count) {
    Choice best;
    double most = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (curves.contains(candidates[i].curve)) continue;
      if (is_gone && is_gone()) return {{}, "nobody waits for them"};
      const std::optional<double> then = width(Joined(chosen, candidates[i].points));
      if (!then || *now - *then < kLeastGain * *now) continue;
      const double worth = (*now - *then) / candidates[i].flops;
      if (worth <= most) continue;
      most = worth;
      best = {i, *now, *then};
    }
    if (most == 0) {
      choices.reason = "no other candidate takes a thousandth off the interval";
      return choices;
    }
    const Candidate& candidate = candidates[best.candidate];
    curves.insert(candidate.curve);
    chosen = Joined(chosen, candidate.points);
    now = best.width_then;
    choices.best.push_back(best);
  }
  return choices;
}

}  // namespace allometry::cost
