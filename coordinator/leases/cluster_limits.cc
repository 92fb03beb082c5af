// ClusterView: what the limits of sweeps forbid.
#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/leases/cluster_view.h"

namespace allometry::coordinator {
namespace {

schedule::RunTime TimeOf(const store::RunRow& row, int64_t now_unix_us) {
  schedule::RunTime time;
  time.run_id = row.run.run_id();
  time.sweep_id = row.sweep_id;
  time.ended_device_s = row.run.device_seconds();
  time.running = row.run.state() == v1::LEASED;
  if (!time.running) return time;
  const store::Attempt& attempt = *row.attempt;
  time.stopping = attempt.stop != store::StopAsked::kNone;
  time.ending =
      attempt.stop == store::StopAsked::kCancel || attempt.stop_for != v1::EXIT_REASON_UNSPECIFIED;
  time.running_s =
      static_cast<double>(std::max<int64_t>(0, now_unix_us - attempt.started_unix_us)) / 1e6;
  time.devices = static_cast<int>(attempt.slots.size());
  return time;
}

}  // namespace

void ClusterView::RememberLimits(const store::RunRow& row) {
  if (row.max_device_hours <= 0 && row.max_run_hours <= 0) {
    limits_.erase(row.sweep_id);
    return;
  }
  limits_[row.sweep_id] = {row.max_device_hours, row.max_run_hours, row.sweep_device_s};
}

std::string ClusterView::LimitOf(const store::RunRow& row) const {
  if (const auto used_up = used_up_.find(row.sweep_id); used_up != used_up_.end()) {
    return used_up->second;
  }
  const auto limits = limits_.find(row.sweep_id);
  return limits == limits_.end() ? "" : schedule::WhyNotByItsLimit(limits->second, TimeOf(row, 0));
}

schedule::LimitsDecision ClusterView::ApplyLimits(int64_t now_unix_us) {
  if (limits_.empty() && used_up_.empty()) return {};
  std::vector<schedule::RunTime> times;
  for (const auto& [run_id, run] : runs_) {
    if (run.by_limit || limits_.contains(run.row.sweep_id)) {
      times.push_back(TimeOf(run.row, now_unix_us));
    }
  }
  schedule::LimitsDecision decision = schedule::DecideLimits(limits_, times);
  used_up_ = decision.used_up;
  for (const schedule::RunTime& time : times) {
    if (time.running) continue;
    OpenRun& run = runs_.at(time.run_id);
    const std::string& before = state().runs.at(time.run_id).blocked;
    if (!before.empty() && !run.by_limit) continue;  // it waits for something else first
    const auto found = decision.blocked.find(time.run_id);
    const std::string now = found == decision.blocked.end() ? "" : found->second;
    run.by_limit = !now.empty();
    if (now == before) continue;
    scheduler_.ChangeRun(time.run_id, [&](schedule::RunState& own) { own.blocked = now; });
    dirty_ = true;
  }
  return decision;
}

}  // namespace allometry::coordinator
