#include "coordinator/sweep/difference.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/sweep/conflicts.h"
#include "coordinator/sweep/evaluate_run.h"
#include "coordinator/sweep/ladder_expansion.h"
#include "coordinator/sweep/number.h"
#include "coordinator/sweep/run_names.h"
#include "coordinator/sweep/schedule.h"
#include "coordinator/sweep/tokenizer_run.h"
#include "coordinator/sweep/trunk_growth.h"
#include "proto/run_choices.h"

namespace allometry::sweep {
namespace {

// ---- the parts of a difference -------------------------------------------------------------

// The cell of a tuning run and one of the grid are two, also at one step: each has its own reader.
bool SameCell(const v1::Cell& a, const v1::Cell& b) {
  if ((StageOf(a) == run::Stage::kLadder) != (StageOf(b) == run::Stage::kLadder)) return false;
  return a.step() == b.step() ||
         std::abs(a.asked_tokens() - b.asked_tokens()) <= 1e-9 * a.asked_tokens();
}

void MoveToStep(v1::Cell& cell, int64_t step) {
  const double ratio = static_cast<double>(step) / static_cast<double>(cell.step());
  const int64_t batch_tokens = cell.tokens() / cell.step();
  cell.set_flops(cell.flops() * ratio);
  cell.set_epochs(cell.epochs() * ratio);
  cell.set_tokens(step * batch_tokens);
  cell.set_step(step);
}

// The evaluated step nearest in ratio; 0 when there is none.
int64_t NearestEvaluation(const v1::RunSpec& spec, int64_t step) {
  int64_t nearest = 0;
  double least = 0;
  for (const int64_t candidate : spec.evaluation_steps()) {
    const double distance = std::abs(std::log(static_cast<double>(candidate) / step));
    if (nearest == 0 || distance < least) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

// The stored spec with what the file says of execution, trained to the larger of both last steps.
v1::RunSpec MergedSpec(const v1::Run& run, const v1::RunSpec& wanted) {
  const v1::RunSpec& stored = run.spec();
  v1::RunSpec spec = wanted;
  *spec.mutable_identity() = stored.identity();
  spec.clear_evaluation_steps();
  *spec.mutable_evaluation_steps() = stored.evaluation_steps();
  for (const int64_t step : wanted.evaluation_steps()) {
    if (step > stored.steps()) spec.add_evaluation_steps(step);
  }
  const std::vector<int64_t> checkpoints = GrownCheckpointSteps(run, wanted);
  *spec.mutable_checkpoint_steps() = {checkpoints.begin(), checkpoints.end()};
  *spec.mutable_inputs() = stored.inputs();
  spec.set_keep_checkpoints(stored.keep_checkpoints() || wanted.keep_checkpoints());
  spec.set_steps(std::max(stored.steps(), wanted.steps()));
  spec.clear_start();
  // What a run was seen to need after it ran out of memory: less than a file or arithmetic says.
  if (stored.micro_batch() > 0 &&
      (spec.micro_batch() == 0 || stored.micro_batch() < spec.micro_batch())) {
    spec.set_micro_batch(stored.micro_batch());
  }
  return spec;
}

// "devices 1 to 2, log_every 10 to 20"; empty when execution stays as it is.
std::string SettingsText(const v1::RunSpec& before, const v1::RunSpec& after) {
  std::vector<std::string> changes;
  const auto compare = [&](absl::string_view name, const std::string& a, const std::string& b) {
    if (a != b) changes.push_back(absl::StrFormat("%s %s to %s", name, a, b));
  };
  compare("devices", absl::StrCat(before.ranks()), absl::StrCat(after.ranks()));
  compare("device", before.device(), after.device());
  compare("deterministic", before.deterministic() ? "true" : "false",
          after.deterministic() ? "true" : "false");
  compare("log_every", absl::StrCat(before.log_every()), absl::StrCat(after.log_every()));
  compare("checkpoint_every", absl::StrCat(before.checkpoint_every_s(), "s"),
          absl::StrCat(after.checkpoint_every_s(), "s"));
  return absl::StrJoin(changes, ", ");
}

class Comparison {
 public:
  Comparison(const StoredSweep& stored, const Expansion& expansion)
      : stored_(stored), expansion_(expansion) {
    for (const v1::Run& run : stored.runs) {
      run_by_key_[run.key()] = &run;
      names_.push_back(run);
    }
    for (const v1::Run& run : expansion.runs) {
      wanted_by_key_[run.key()] = &run;
      if (!run_by_key_.contains(run.key())) names_.push_back(run);
    }
    for (const v1::Cell& cell : stored.cells) stored_cells_[cell.run_id()].push_back(cell);
    for (const v1::Cell& cell : expansion.cells) wanted_cells_[cell.run_id()].push_back(cell);
  }

  absl::StatusOr<Changes> Compute() {
    changes_.sweep = expansion_.sweep;
    AddNewRuns();
    for (const v1::Run& wanted : expansion_.runs) {
      const auto stored = run_by_key_.find(wanted.key());
      if (stored == run_by_key_.end()) continue;
      if (StageOf(wanted) == run::Stage::kEvaluate) {
        GrowEvaluation(*stored->second, wanted);
      } else {
        GrowRun(*stored->second, wanted);
      }
    }
    if (!conflicts_.empty()) {
      return absl::FailedPreconditionError(absl::StrJoin(conflicts_, "\n"));
    }
    SayWhatStays();
    CompareSweeps();
    return std::move(changes_);
  }

 private:
  struct Added {
    size_t runs = 0, trunks = 0, branches = 0, cells = 0;

    std::string Text() const {
      std::string text = Plural(runs, "run");
      if (trunks > 0) {
        absl::StrAppendFormat(&text, " (%s, %s)", Plural(trunks, "trunk"),
                              branches == 1 ? "1 branch" : absl::StrCat(branches, " branches"));
      }
      return absl::StrCat(text, ", ", Plural(cells, "cell"));
    }
  };

  void AddNewRuns() {
    std::map<std::string, Added> added;  // by what is added, in words
    std::vector<std::string> order;
    for (const v1::Run& wanted : expansion_.runs) {
      if (run_by_key_.contains(wanted.key())) continue;
      const std::vector<v1::Cell>& cells = wanted_cells_[wanted.run_id()];
      v1::Run run = wanted;
      run.clear_run_id();
      const bool leaves_stored = LeaveStoredTrunk(run);
      if (EvaluatedOf(run.spec()) != nullptr) SetEvaluatedSteps(*run.mutable_spec());
      changes_.new_runs.push_back(run);
      for (const v1::Cell& cell : cells) AddCell(wanted.key(), 0, cell);
      if (leaves_stored) {
        changes_.lines.push_back(
            absl::StrFormat("adds a branch to %s: %s, %s", CurveName(wanted, names_),
                            BudgetText(cells.front()), BranchText(run.spec())));
        continue;
      }
      const std::string what = WhatIsNew(wanted);
      Added& counts = added[what];
      if (counts.runs++ == 0) order.push_back(what);
      counts.trunks += IsTrunk(wanted.spec());
      counts.branches += TrunkOf(wanted.spec()) != nullptr;
      counts.cells += cells.size();
    }
    for (const std::string& what : order) {
      changes_.lines.push_back(absl::StrFormat("adds %s: %s", what, added[what].Text()));
    }
  }

  std::string WhatIsNew(const v1::Run& wanted) const {
    if (StageOf(wanted) == run::Stage::kTokenizer) {
      return absl::StrCat("the tokenizer ", TokenizerText(&wanted));
    }
    if (StageOf(wanted) == run::Stage::kEvaluate) return "evaluations of kept checkpoints";
    const bool known_size =
        std::any_of(stored_.runs.begin(), stored_.runs.end(),
                    [&](const v1::Run& run) { return run.size() == wanted.size(); });
    return known_size ? absl::StrCat(CurveName(wanted, names_), " beside the others of its size")
                      : absl::StrCat("size ", wanted.size());
  }

  // The steps of the run that it evaluates, as that one will be after this submission.
  void SetEvaluatedSteps(v1::RunSpec& spec) const {
    const std::string& key = EvaluatedOf(spec)->run_key();
    const v1::RunSpec& wanted = wanted_by_key_.at(key)->spec();
    const auto stored = run_by_key_.find(key);
    const v1::RunSpec trained =
        stored == run_by_key_.end() ? wanted : MergedSpec(*stored->second, wanted);
    const std::vector<int64_t> steps = EvaluatedSteps(trained);
    *spec.mutable_evaluation_steps() = {steps.begin(), steps.end()};
    spec.set_steps(trained.steps());
  }

  void GrowEvaluation(const v1::Run& stored, const v1::Run& wanted) {
    v1::RunSpec spec = MergedSpec(stored, wanted.spec());
    SetEvaluatedSteps(spec);
    if (std::equal(spec.evaluation_steps().begin(), spec.evaluation_steps().end(),
                   stored.spec().evaluation_steps().begin(),
                   stored.spec().evaluation_steps().end())) {
      return;
    }
    changes_.lines.push_back(absl::StrFormat("changes the %s: checkpoints at steps %s",
                                             RunName(stored, names_),
                                             absl::StrJoin(spec.evaluation_steps(), ", ")));
    const bool grows = spec.steps() > stored.spec().steps();
    changes_.changed_runs.push_back({stored.run_id(), stored.key(), std::move(spec), grows});
  }

  // Where the new run is a branch of a stored trunk: it starts from a checkpoint that there is or
  // will be.
  bool LeaveStoredTrunk(v1::Run& run) {
    if (TrunkOf(run.spec()) == nullptr) return false;
    auto& inputs = *run.mutable_spec()->mutable_inputs();
    v1::RunInput& input = *std::find_if(inputs.begin(), inputs.end(), [](const v1::RunInput& one) {
      return KindOf(one) == run::InputKind::kTrunk;
    });
    const auto stored = run_by_key_.find(input.run_key());
    if (stored == run_by_key_.end()) return false;
    const v1::Run& trunk = *stored->second;
    const auto wanted = std::find_if(expansion_.runs.begin(), expansion_.runs.end(),
                                     [&](const v1::Run& r) { return r.key() == trunk.key(); });
    const auto there = stored_.checkpoints.find(trunk.run_id());
    input.set_step(BranchStart(trunk, GrownCheckpointSteps(trunk, wanted->spec()),
                               there == stored_.checkpoints.end()
                                   ? absl::Span<const int64_t>()
                                   : absl::MakeConstSpan(there->second),
                               input.step()));
    return true;
  }

  void AddCell(const std::string& key, int64_t run_id, v1::Cell cell) {
    cell.clear_cell_id();
    cell.set_run_id(run_id);
    changes_.new_cells.push_back({key, std::move(cell)});
  }

  void GrowRun(const v1::Run& stored, const v1::Run& wanted) {
    const std::string name = RunName(stored, names_);
    std::vector<v1::Cell> cells = stored_cells_[stored.run_id()];
    size_t beyond = 0;
    const v1::Cell* largest = nullptr;
    for (const v1::Cell& cell : wanted_cells_[wanted.run_id()]) {
      const auto is_this = [&](const v1::Cell& other) { return SameCell(cell, other); };
      if (std::any_of(cells.begin(), cells.end(), is_this)) continue;
      if (cell.step() > stored.spec().steps()) {
        AddCell(stored.key(), stored.run_id(), cell);
        ++beyond;
        largest = &cell;
      } else {
        AddCellBetween(stored, name, cell, cells);
      }
    }
    const v1::RunSpec spec = MergedSpec(stored, wanted.spec());
    const int checkpoints = spec.checkpoint_steps_size() - stored.spec().checkpoint_steps_size();
    const std::string settings = SettingsText(stored.spec(), spec);
    if (largest != nullptr) {
      changes_.lines.push_back(absl::StrFormat(
          "raises run %s to %s: from step %d to step %d, %s more", name, BudgetText(*largest),
          stored.spec().steps(), spec.steps(), Plural(beyond, "cell")));
    } else if (StageOf(stored) == run::Stage::kPolicy && spec.steps() > stored.spec().steps()) {
      changes_.lines.push_back(absl::StrFormat("raises %s from update %d to %d",
                                               RunName(stored, names_), stored.spec().steps(),
                                               spec.steps()));
    } else if (checkpoints > 0 && spec.keep_checkpoints()) {
      changes_.lines.push_back(
          absl::StrFormat("keeps %s of run %s", Plural(checkpoints, "more checkpoint"), name));
    } else if (checkpoints > 0) {
      changes_.lines.push_back(absl::StrFormat(
          "raises %s: from step %d to step %d, %s to branch from", RunName(wanted, names_),
          stored.spec().steps(), spec.steps(), Plural(checkpoints, "more checkpoint")));
    } else if (settings.empty() || stored.state() == v1::RUN_SUCCEEDED) {
      return;  // nothing is left to do differently
    }
    if (!settings.empty()) {
      changes_.lines.push_back(
          absl::StrFormat("changes run %s from its next attempt on: %s", name, settings));
    }
    changes_.changed_runs.push_back(
        {stored.run_id(), stored.key(), spec, spec.steps() > stored.spec().steps()});
  }

  // `cells` are those of the run so far; the new one joins them.
  void AddCellBetween(const v1::Run& stored, const std::string& name, v1::Cell cell,
                      std::vector<v1::Cell>& cells) {
    constexpr double kFarthest = 0.1;  // in log step
    const int64_t asked = cell.step();
    const int64_t nearest = NearestEvaluation(stored.spec(), asked);
    if (nearest == 0 || std::abs(std::log(static_cast<double>(nearest) / asked)) > kFarthest) {
      conflicts_.push_back(absl::StrFormat(
          "%s of run %s end at step %d, but the run's steps up to %d are planned and the nearest "
          "evaluation among them is at step %d: choose a budget near that, one beyond %d steps, or "
          "another name for the sweep",
          BudgetText(cell), name, asked, stored.spec().steps(), nearest, stored.spec().steps()));
      return;
    }
    MoveToStep(cell, nearest);
    const bool taken = std::any_of(cells.begin(), cells.end(),
                                   [&](const v1::Cell& other) { return SameCell(cell, other); });
    if (taken) {
      changes_.sweep.add_left_out(absl::StrFormat("%s at %s: step %d, as of another cell", name,
                                                  BudgetText(cell), nearest));
      return;
    }
    changes_.lines.push_back(
        absl::StrFormat("adds a cell to run %s: %s at step %d%s", name, BudgetText(cell), nearest,
                        nearest == asked ? ""
                                         : absl::StrFormat(", the evaluation nearest to "
                                                           "step %d",
                                                           asked)));
    cells.push_back(cell);
    AddCell(stored.key(), stored.run_id(), std::move(cell));
  }

  void SayWhatStays() {
    std::set<std::string> wanted_sizes, wanted_curves;
    for (const v1::Run& run : expansion_.runs) {
      wanted_sizes.insert(run.size());
      wanted_curves.insert(CurveName(run, names_));
    }
    std::set<std::string> told;
    size_t cells = 0;
    for (const v1::Run& run : stored_.runs) {
      const auto wanted = wanted_by_key_.find(run.key());
      if (wanted == wanted_by_key_.end()) {
        const std::string curve = CurveName(run, names_);
        if (ScheduleOf(run.spec().identity()) != run::Schedule::kConstant &&
            wanted_curves.contains(curve)) {
          cells += stored_cells_[run.run_id()].size();
          continue;
        }
        const std::string what =
            StageOf(run) == run::Stage::kEvaluate ? absl::StrCat("the ", RunName(run, names_))
            : wanted_sizes.contains(run.size())   ? absl::StrCat("run ", curve)
                                                  : absl::StrCat("size ", run.size());
        if (told.insert(what).second) {
          changes_.lines.push_back(
              absl::StrFormat("removes nothing: %s is not in the file and stays", what));
        }
        continue;
      }
      const std::vector<v1::Cell>& still = wanted_cells_[wanted->second->run_id()];
      for (const v1::Cell& cell : stored_cells_[run.run_id()]) {
        cells += std::none_of(still.begin(), still.end(),
                              [&](const v1::Cell& other) { return SameCell(cell, other); });
      }
    }
    if (cells > 0) {
      changes_.lines.push_back(absl::StrFormat(
          "removes nothing: %s not in the file stay%s",
          cells == 1 ? "a cell" : absl::StrCat(cells, " cells"), cells == 1 ? "s" : ""));
    }
  }

  // Hours; 0: no limit.
  void CompareLimit(absl::string_view name, double before, double after) {
    const auto text = [](double hours) { return hours > 0 ? FormatNumber(hours) : "none"; };
    if (before == after) return;
    changes_.lines.push_back(
        absl::StrFormat("changes limits.%s %s to %s", name, text(before), text(after)));
  }

  void CompareSweeps() {
    const v1::Sweep& before = stored_.sweep;
    v1::Sweep& after = changes_.sweep;
    const bool known = before.sweep_id() != 0;
    if (known && before.priority() != after.priority()) {
      changes_.lines.push_back(
          absl::StrFormat("changes priority %d to %d", before.priority(), after.priority()));
    }
    if (known && before.max_epochs() != after.max_epochs()) {
      changes_.lines.push_back(absl::StrFormat("changes max_epochs %s to %s",
                                               FormatNumber(before.max_epochs()),
                                               FormatNumber(after.max_epochs())));
    }
    const std::set<std::string> left_out(before.left_out().begin(), before.left_out().end());
    for (const std::string& sentence : after.left_out()) {
      if (!left_out.contains(sentence)) changes_.lines.push_back("left out: " + sentence);
    }
    if (known) {
      CompareLimit("max_device_hours", before.max_device_hours(), after.max_device_hours());
      CompareLimit("max_run_hours", before.max_run_hours(), after.max_run_hours());
    }
    changes_.sweep_changed = !known || before.priority() != after.priority() ||
                             before.max_device_hours() != after.max_device_hours() ||
                             before.max_run_hours() != after.max_run_hours() ||
                             before.max_epochs() != after.max_epochs() ||
                             !std::equal(before.left_out().begin(), before.left_out().end(),
                                         after.left_out().begin(), after.left_out().end());

    v1::Sweep merged = before;
    merged.set_name(after.name());
    merged.set_dataset(after.dataset());
    merged.set_params_policy(after.params_policy());
    merged.set_flops_convention(after.flops_convention());
    merged.set_max_epochs(after.max_epochs());
    merged.set_priority(after.priority());
    merged.set_max_device_hours(after.max_device_hours());
    merged.set_max_run_hours(after.max_run_hours());
    *merged.mutable_left_out() = after.left_out();
    merged.set_runs(static_cast<int>(stored_.runs.size() + changes_.new_runs.size()));
    merged.set_cells(static_cast<int>(stored_.cells.size() + changes_.new_cells.size()));
    after = std::move(merged);
  }

  const StoredSweep& stored_;
  const Expansion& expansion_;
  std::map<std::string, const v1::Run*> run_by_key_;       // stored
  std::map<std::string, const v1::Run*> wanted_by_key_;    // of the expansion
  std::map<int64_t, std::vector<v1::Cell>> stored_cells_;  // by stored run_id
  std::map<int64_t, std::vector<v1::Cell>> wanted_cells_;  // by run_id of the expansion
  std::vector<v1::Run> names_;                             // all runs, for RunName
  std::vector<std::string> conflicts_;
  Changes changes_;
};

}  // namespace

absl::StatusOr<Changes> Difference(const StoredSweep& stored, const Expansion& expansion) {
  if (stored.sweep.sweep_id() != 0) {
    const std::vector<std::string> conflicts = Conflicts(stored, expansion);
    if (!conflicts.empty()) {
      return absl::FailedPreconditionError(absl::StrJoin(conflicts, "\n"));
    }
  }
  return Comparison(stored, expansion).Compute();
}

}  // namespace allometry::sweep
