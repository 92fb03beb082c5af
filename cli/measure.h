// What the runs of a plan cost on this machine: measured by the trainer beside this program, or
// remembered from an earlier plan.
//
// Two busy cores slow each other down (shared caches, memory, clock), so as many trainers run side
// by side as slots would be busy at once, a different shape each; where shapes run out, copies of
// one. Results are kept in ${XDG_CACHE_HOME:-~/.cache}/allometry/measured.json under a hash of all
// that they depend on: the trainer's file, the CPU's model and count, how many run at once, and of
// the run all but what changes no speed (seed, rate, budget, dataset).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/cost/run_cost.h"
#include "proto/types.pb.h"

namespace allometry::cli {

struct MeasureOptions {
  std::string data_dir;
  int slots = 1;         // of this machine that will be busy at once
  double seconds = 1.5;  // of updates, for each shape
  bool measure = true;   // false: only what is remembered
  bool remember = true;  // false: measure anew, and store the new numbers
  std::function<void(const std::string&)> progress;  // a line at a time; may be null
};

struct MeasuredCosts {
  std::map<std::string, cost::RunCost> costs;  // by run key
  int measured = 0, cached = 0;                // shapes
  std::vector<std::string> problems;           // what could not be measured, and why
};

// Runs with nothing to train (cost::WorkOf) or of a kind other than training are left out.
MeasuredCosts MeasureRuns(absl::Span<const v1::Run> runs, const MeasureOptions& options);

}  // namespace allometry::cli
