// What a sweep will cost. Reads the domain types alone, so it plans a fresh expansion as well as a
// stored sweep. A cell belongs to the run with its run_id.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/cost/makespan.h"
#include "coordinator/cost/run_cost.h"
#include "coordinator/cost/throughput.h"
#include "proto/types.pb.h"
#include "run/flops_convention.h"

namespace allometry::cost {

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
  std::optional<run::DeviceKind> device;  // unset: of a kind that this program does not know
  int cells = 0;
  int64_t from = 0;         // the update it goes on from: of a trunk's or its own checkpoint
  int64_t steps = 0;        // the last update
  int64_t tokens = 0;       // that are still to be trained on, as are FLOPs and time
  double flops = 0;         // under the sweep's convention, as all below
  double epochs = 0;        // of the whole run
  double memory_bytes = 0;  // of one rank; `memory_measured` or see RankMemoryBytes
  bool memory_measured = false;
  std::optional<double> seconds;  // on its devices; unset: nothing known of its pace
  std::string time_source;        // "measured", "cached", "pace" (of the coordinator); or empty
  bool new_work = true;           // false: done already, or ended and not to be retried
};

// A further part of a plan, with a heading and sentences: limits, schedule, shapes.
struct PlanSection {
  std::string title;  // "schedule", "limits"
  std::vector<std::string> sentences;
};

struct SweepPlan {
  std::string name;
  std::string dataset;
  std::string params_policy;
  run::FlopsConvention flops_convention = run::FlopsConvention::k6nd;
  std::vector<PlannedRun> runs;
  std::vector<v1::Cell> cells;
  int64_t tokens = 0;
  double flops = 0;        // still to be trained
  double flops_whole = 0;  // of the whole sweep, what is trained already included
  double flops_saved = 0;  // by cells that share a run, over the whole sweep
  int done_runs = 0;       // with nothing left to train
  std::vector<std::string> left_out;
  // A sentence for each run that can never start on the workers, because it needs more devices than
  // any worker has, or more memory than any device has.
  std::vector<std::string> impossible;
  std::optional<double> device_seconds;    // sum of seconds x ranks; unset: a run's is not known
  std::optional<double> makespan_seconds;  // needs workers and every run's seconds
  int slots = 0;                           // of the workers
  std::vector<PlanSection> sections;
};

struct PlanOptions {
  Throughput throughput;                 // for runs without a cost; empty: no times
  std::map<std::string, RunCost> costs;  // by run key
  std::vector<WorkerSlots> workers;      // empty: not known; no makespan, nothing is impossible
};

SweepPlan Plan(const v1::Sweep& sweep, absl::Span<const v1::Run> runs,
               absl::Span<const v1::Cell> cells, const PlanOptions& options = {});

// What the sweep's limits leave, and whether the plan stays within them.
PlanSection LimitsSection(const v1::Sweep& sweep, const SweepPlan& plan,
                          absl::Span<const v1::Run> runs);

// For sizes that are given as parameter counts: neighbours whose nearest shapes have very different
// proportions. No sentences if there are none. Plan() adds it to the sections.
PlanSection ShapesSection(const SweepPlan& plan);

// A table of the runs, a table of the cells, the totals and what is left out; at most 100 columns.
std::string PlanText(const SweepPlan& plan);

}  // namespace allometry::cost
