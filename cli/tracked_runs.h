// Runs as experiment trackers keep them on disk: settings that do not change, and series of values
// by step. Read offline, from files alone.
//
//   W&B          CSV exports: charts ("Step", then "RUN - METRIC" columns) and the table of runs
//   MLflow       an mlruns folder: RUN/meta.yaml, RUN/params/NAME, RUN/metrics/NAME with lines of
//                "timestamp value step"
//   TensorBoard  the CSV that `python3 -m allometry.tensorboard LOGDIR` prints:
//   run,series,step,value
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::cli {

struct TrackedRun {
  std::string name;
  std::map<std::string, std::string> settings;
  std::map<std::string, std::map<int64_t, double>> series;  // by name, then step
};

// Errors below are INVALID_ARGUMENT with file, line and value, or NOT_FOUND.

// Charts are joined by the names of their runs. Without a chart: no series.
absl::StatusOr<std::vector<TrackedRun>> ReadWandbCharts(const std::vector<std::string>& files);
// Whether the CSV's header is a chart's.
absl::StatusOr<bool> IsWandbChart(const std::string& file);
absl::StatusOr<std::vector<TrackedRun>> ReadMlflow(const std::string& folder);
absl::StatusOr<std::vector<TrackedRun>> ReadEvents(const std::string& text,
                                                   const std::string& name);

// Adds the columns of a CSV of runs to the settings of the runs that its column `run`, "Name" or
// "name" names. Refused where a run has no row.
absl::Status AddSettings(const std::string& file, std::vector<TrackedRun>& runs);

}  // namespace allometry::cli
