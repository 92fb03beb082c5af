// The stages of a sweep that decide something: one table, read by whatever moves, submits or
// compares sweeps with a stage.
//
// To add a stage: its keys in the sweep file (coordinator/sweep), an enumerator in run/choices.h, a
// folder here with its rule and a function that makes a StageStep, and a row in stage.cc.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "coordinator/store/rows.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "run/choices.h"

namespace allometry::coordinator {

// The state of a sweep's stage, and what it asks for.
struct StageStep {
  v1::StageResult result;      // for people
  bool is_active = false;      // it will add runs by itself, once more is measured
  bool decides = false;        // something is to be stored, even if it adds no run
  sweep::Expansion expansion;  // the sweep's runs and cells, by the stored or the new decision
  std::string text;            // the decision, to be stored
  std::vector<std::string> sentences;  // what is decided now
};

// What a decision reads: the file, its dataset, the rows, and the texts of the sweep's earlier
// decisions, oldest first.
struct StageInput {
  const sweep::SweepFile& file;
  const data::Manifest& manifest;
  const store::StoredSweep& stored;
  absl::Span<const std::string> decisions;
};

struct StageRow {
  run::Stage stage;
  const char* changed_rule;  // said of a file whose rule is another than before
  bool (*is_in)(const sweep::SweepFile& file);
  bool (*same_rule)(const sweep::SweepFile& a, const sweep::SweepFile& b);
  // Pure. The expansion is that of the stored decisions, or, with `decide`, that of the rule now.
  absl::StatusOr<StageStep> (*step)(const StageInput& input, bool decide);
};

std::span<const StageRow> StageRows();
// The stage that the file asks for; nullptr: none. A file asks for one at most.
const StageRow* StageIn(const sweep::SweepFile& file);

}  // namespace allometry::coordinator
