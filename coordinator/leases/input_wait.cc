#include "coordinator/leases/input_wait.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::coordinator {
namespace {

InputWait WaitForTrunk(const store::RunRow& branch, int64_t trunk_step,
                       const std::set<std::string>& live_roots) {
  const store::InputRun& trunk = *branch.input(run::InputKind::kTrunk);
  const v1::Checkpoint& own = branch.run.checkpoint();
  const auto is_live = [&](const std::string& root_id) { return live_roots.count(root_id) > 0; };
  if (trunk.wanted_step == 0 || own.step() >= trunk.wanted_step) {
    return {"", own.root_id(), is_live(own.root_id())};
  }
  for (const std::string& root_id : trunk.root_ids) {
    if (is_live(root_id)) return {"", root_id, true};
  }
  if (trunk.is_to_come) {
    return {absl::StrFormat("needs run %d's checkpoint at step %d (now at %d)", trunk.run_id,
                            trunk.wanted_step, trunk_step),
            "", false};
  }
  return {"", trunk.root_ids.empty() ? own.root_id() : trunk.root_ids.front(), false};
}

// What the run cannot start without: another run's files, when that one has ended, or the
// checkpoint of another run, whatever became of it.
struct Required {
  const store::InputRun& input;
  const char* what;
  bool when_ended = true;
};

std::set<std::string> UsableRoots(const Required& required, const InputKnowledge& known) {
  std::set<std::string> usable;
  const store::InputRun& input = required.input;
  if (required.when_ended && input.state != v1::RUN_SUCCEEDED) return usable;
  for (const std::string& root_id : input.root_ids) {
    if (known.live_roots.count(root_id) > 0 && known.could_run(root_id)) usable.insert(root_id);
  }
  return usable;
}

std::string WhyNone(const Required& required, const InputKnowledge& known) {
  const store::InputRun& input = required.input;
  const std::string needs = absl::StrFormat("needs run %d's %s", input.run_id, required.what);
  if (input.is_to_come) {
    return absl::StrFormat("%s (now at step %d of %d)", needs, known.step_of(input),
                           input.wanted_step);
  }
  const bool is_there = !required.when_ended && !input.root_ids.empty();
  if (!is_there && input.state != v1::RUN_SUCCEEDED) {
    return absl::StrFormat(
        "%s, and run %d %s: 'allo retry %s' takes it up again", needs, input.run_id,
        input.state == v1::RUN_CANCELLED ? "was cancelled" : "failed", input.sweep);
  }
  if (input.root_ids.empty()) return absl::StrCat(needs, ", of which no good file is left");
  for (const std::string& root_id : input.root_ids) {
    if (known.live_roots.count(root_id) == 0) continue;
    return absl::StrFormat(
        "%s, and no worker of run root %s, where it lies, has the slots and the data", needs,
        root_id);
  }
  return absl::StrFormat("%s, and no worker of run root %s, where it lies, is connected", needs,
                         absl::StrJoin(input.root_ids, " or "));
}

}  // namespace

InputWait WaitForInputs(const store::RunRow& row, const InputKnowledge& known) {
  std::vector<Required> required;
  for (const auto& [kind, input] : row.inputs) {
    if (kind == run::InputKind::kTrunk) continue;
    const bool is_checkpoints = kind == run::InputKind::kCheckpoint;
    required.push_back({input, is_checkpoints ? "checkpoints" : run::NameOf(kind),
                        kind != run::InputKind::kModel});
  }
  const store::InputRun* const trunk = row.input(run::InputKind::kTrunk);
  if (required.empty()) return WaitForTrunk(row, known.step_of(*trunk), known.live_roots);
  std::set<std::string> usable = UsableRoots(required.front(), known);
  for (const Required& one : required) {
    const std::set<std::string> roots = UsableRoots(one, known);
    std::erase_if(usable, [&](const std::string& root) { return roots.count(root) == 0; });
    if (usable.empty()) return {WhyNone(one, known), "", false};
  }
  InputWait wait = {"", row.run.checkpoint().root_id(), true};
  if (trunk != nullptr) {
    wait = WaitForTrunk(row, known.step_of(*trunk), usable);
    wait.root_is_live = true;
  }
  if (usable.count(wait.root_id) == 0) wait.root_id = *usable.begin();
  return wait;
}

}  // namespace allometry::coordinator
