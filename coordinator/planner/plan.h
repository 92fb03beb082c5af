// What a sweep will cost, before it is spent. Works on the domain types alone, so on a fresh
// expansion as well as on a stored sweep: a cell belongs to the run of its run_id.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/planner/throughput.h"
#include "proto/types.pb.h"

namespace allometry::planner {

struct PlannedRun {
  int64_t run_id = 0;
  std::string key;
  std::string size;  // as asked
  int layers = 0;
  int heads = 0;
  int width = 0;
  int64_t params = 0;  // N as built, under the sweep's policy
  double learning_rate = 0;
  int64_t seed = 0;
  int ranks = 1;
  int cells = 0;
  int64_t steps = 0;
  int64_t tokens = 0;
  double flops = 0;           // under the sweep's convention, as all below
  double flops_unshared = 0;  // were every cell a run of its own
  double epochs = 0;
  double memory_bytes = 0;        // of one rank; an estimate, see RankMemoryBytes
  std::optional<double> seconds;  // unset: no throughput known
};

struct SweepPlan {
  std::string name;
  std::string dataset;
  std::string params_policy;
  std::string flops_convention;
  std::vector<PlannedRun> runs;
  std::vector<v1::Cell> cells;
  double flops = 0;
  double flops_saved = 0;  // by cells that share a run
  std::vector<std::string> left_out;
  std::vector<std::string> impossible;   // runs that need more devices at once than there are slots
  std::optional<double> device_seconds;  // sum of seconds x ranks
  std::optional<double> makespan_seconds;  // on `slots`, longest first; needs slots and throughput
};

struct PlanOptions {
  Throughput throughput;  // empty: no times
  int slots = 0;          // 0: not known; no makespan, and nothing is impossible
};

SweepPlan Plan(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
               absl::Span<const v1::Cell> cells, const PlanOptions& options = {});

// A table of the runs, a table of the cells, the totals and what is left out; at most 100 columns.
std::string PlanText(const SweepPlan& plan);

}  // namespace allometry::planner
