// What the limits of a sweep forbid: which waiting runs may not start, and which running ones must
// stop. Pure.
//
//   max_device_hours   time x devices of all attempts of all runs of the sweep. Once it is used up,
//                      running runs are asked to stop with a checkpoint, and nothing starts until
//                      the limit is raised.
//   max_run_hours      the same of one run. Once it is used up the run is asked to end, and is then
//                      FAILED(LIMIT).
//
// Stopping takes as long as a checkpoint, so slightly more than the limit is used; the sentences
// say how much.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace allometry::schedule {

struct SweepLimits {
  double max_device_hours = 0;  // 0: no limit
  double max_run_hours = 0;     // 0: no limit
  double ended_device_s = 0;    // time x devices of the sweep's ended attempts
};

// An open run.
struct RunTime {
  int64_t run_id = 0;
  int64_t sweep_id = 0;
  double ended_device_s = 0;  // of its own ended attempts
  bool running = false;       // LEASED
  bool stopping = false;      // and asked to stop already
  bool ending = false;        // and asked to end, not to go on later
  double running_s = 0;       // since its attempt started
  int devices = 1;
};

struct LimitsDecision {
  // Why nothing of a sweep may start, by sweep_id.
  std::map<int64_t, std::string> used_up;
  // Why a waiting run may not start, by run_id; goes on after "waiting: ".
  std::map<int64_t, std::string> blocked;
  // Running runs to be asked to stop and wait, with the reason, by run_id.
  std::map<int64_t, std::string> stop;
  // Running runs to be asked to end, as LIMIT.
  std::map<int64_t, std::string> end;
};

// Why this run may not start by its own limit; empty: it may.
std::string WhyNotByItsLimit(const SweepLimits& limits, const RunTime& run);

LimitsDecision DecideLimits(const std::map<int64_t, SweepLimits>& sweeps,
                            const std::vector<RunTime>& runs);

}  // namespace allometry::schedule
