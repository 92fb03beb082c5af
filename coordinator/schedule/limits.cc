#include "coordinator/schedule/limits.h"

#include "absl/strings/str_format.h"

namespace allometry::schedule {
namespace {

constexpr double kHourS = 3600;

double DeviceSeconds(const RunTime& run) {
  return run.ended_device_s + (run.running ? run.running_s * run.devices : 0);
}

std::string SweepIsUsedUp(const SweepLimits& limits, double used_s) {
  return absl::StrFormat(
      "the sweep's budget of %.4g device-hours is used up (%.3g); raise limits.max_device_hours "
      "and submit again",
      limits.max_device_hours, used_s / kHourS);
}

}  // namespace

std::string WhyNotByItsLimit(const SweepLimits& limits, const RunTime& run) {
  const double used_s = DeviceSeconds(run);
  if (limits.max_run_hours <= 0 || used_s < limits.max_run_hours * kHourS) return "";
  return absl::StrFormat(
      "it has used %.3g device-hours of limits.max_run_hours %.4g; raise it and submit again",
      used_s / kHourS, limits.max_run_hours);
}

LimitsDecision DecideLimits(const std::map<int64_t, SweepLimits>& sweeps,
                            const std::vector<RunTime>& runs) {
  std::map<int64_t, double> used_s;
  for (const auto& [sweep_id, limits] : sweeps) used_s[sweep_id] = limits.ended_device_s;
  for (const RunTime& run : runs) {
    if (run.running) used_s[run.sweep_id] += run.running_s * run.devices;
  }
  LimitsDecision decision;
  for (const auto& [sweep_id, limits] : sweeps) {
    if (limits.max_device_hours > 0 && used_s[sweep_id] >= limits.max_device_hours * kHourS) {
      decision.used_up[sweep_id] = SweepIsUsedUp(limits, used_s[sweep_id]);
    }
  }
  for (const RunTime& run : runs) {
    const auto limits = sweeps.find(run.sweep_id);
    if (limits == sweeps.end()) continue;
    const auto used_up = decision.used_up.find(run.sweep_id);
    const std::string own = WhyNotByItsLimit(limits->second, run);
    if (used_up == decision.used_up.end() && own.empty()) continue;
    if (!run.running) {
      decision.blocked[run.run_id] = own.empty() ? used_up->second : own;
    } else if (!own.empty() && !run.ending) {
      decision.end[run.run_id] = own;
    } else if (!run.stopping) {
      decision.stop[run.run_id] = used_up->second;
    }
  }
  return decision;
}

}  // namespace allometry::schedule
