// The stages of a sweep that decide something: one table, read by whatever reads, moves, submits or
// compares sweeps with a stage.
//
// To add a stage: a file in a folder here, which defines its StageRow, and the row's name in the
// table of stage.cc. Its runs bear its name where run/choices.h has an enumerator with it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "coordinator/store/rows.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"

namespace allometry::sweep {
class Fields;  // coordinator/sweep/yaml_fields.h
}

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
  const char* name;          // stored with its decisions
  const char* changed_rule;  // said of a file whose rule is another than before

  // Of a stage with a section of its own in the sweep file, under `name`: the section's keys, and
  // the function that reads and checks it, after the grid. nullptr: the file does not ask for the
  // stage, or all that could be read is mistakes.
  absl::Span<const absl::string_view> keys = {};
  std::shared_ptr<const sweep::StageChoice> (*read)(const sweep::Fields& section,
                                                    const sweep::SweepFile& file,
                                                    sweep::Mistakes& mistakes) = nullptr;
  // Of any other: what the file asks of it; nullptr: nothing.
  const sweep::StageChoice* (*choice)(const sweep::SweepFile& file) = nullptr;

  // Pure. The expansion is that of the stored decisions, or, with `decide`, that of the rule now.
  absl::StatusOr<StageStep> (*step)(const StageInput& input, bool decide) = nullptr;
};

std::span<const StageRow* const> StageRows();
// What the file asks of the stage; nullptr: nothing.
const sweep::StageChoice* ChoiceIn(const sweep::SweepFile& file, const StageRow& row);
// The stage that the file asks for; nullptr: none. A file asks for one at most.
const StageRow* StageIn(const sweep::SweepFile& file);

}  // namespace allometry::coordinator
