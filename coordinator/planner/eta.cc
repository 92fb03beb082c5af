#include "coordinator/planner/eta.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>

namespace allometry::planner {
namespace {

// Waiting runs by ranks; of each, seconds in ascending order, so that the longest is at the back.
using Waiting = std::map<int, std::vector<double>>;

// The entry with the longest run that fits into `free` slots; end when none does.
Waiting::iterator LongestThatFits(Waiting& waiting, int free) {
  auto longest = waiting.end();
  for (auto it = waiting.begin(); it != waiting.end() && it->first <= free; ++it) {
    if (longest == waiting.end() || it->second.back() > longest->second.back()) longest = it;
  }
  return longest;
}

}  // namespace

std::optional<double> EstimateEta(const std::vector<OpenRun>& runs, int slots,
                                  const Throughput& throughput) {
  std::vector<ThroughputSample> samples = throughput.samples();
  for (const OpenRun& run : runs) samples.push_back({run.params, run.flops_per_s / run.ranks});
  const Throughput known(std::move(samples));

  using End = std::pair<double, int>;  // seconds from now, slots that come free
  std::priority_queue<End, std::vector<End>, std::greater<>> ends;
  Waiting waiting;
  int free = slots;
  for (const OpenRun& run : runs) {
    if (run.flops_left <= 0) continue;
    const double rate = run.flops_per_s > 0
                            ? run.flops_per_s
                            : run.ranks * known.FlopsPerSecond(run.params).value_or(0);
    if (!(rate > 0)) return std::nullopt;
    if (run.running) {
      free -= run.ranks;
      ends.emplace(run.flops_left / rate, run.ranks);
    } else if (run.ranks > slots) {
      return std::nullopt;
    } else {
      waiting[run.ranks].push_back(run.flops_left / rate);
    }
  }
  for (auto& [ranks, seconds] : waiting) std::sort(seconds.begin(), seconds.end());

  double now = 0;
  double last = 0;
  while (true) {
    for (auto next = LongestThatFits(waiting, free); next != waiting.end();
         next = LongestThatFits(waiting, free)) {
      ends.emplace(now + next->second.back(), next->first);
      free -= next->first;
      next->second.pop_back();
      if (next->second.empty()) waiting.erase(next);
    }
    if (ends.empty()) return last;
    now = last = ends.top().first;
    free += ends.top().second;
    ends.pop();
  }
}

}  // namespace allometry::planner
