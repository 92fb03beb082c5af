#include "coordinator/leases/input_wait.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::coordinator {
namespace {

InputWait WaitForTrunk(const store::RunRow& branch, int64_t trunk_step,
                       const std::set<std::string>& live_roots) {
  const store::InputRun& trunk = *branch.trunk;
  const v1::Checkpoint& own = branch.run.checkpoint();
  const auto is_live = [&](const std::string& root_id) { return live_roots.count(root_id) > 0; };
  if (trunk.wanted_step == 0 || own.step() >= trunk.wanted_step) {
    return {"", own.root_id(), is_live(own.root_id()), false};
  }
  for (const std::string& root_id : trunk.root_ids) {
    if (is_live(root_id)) return {"", root_id, true, false};
  }
  if (trunk.is_to_come) {
    return {absl::StrFormat("needs run %d's checkpoint at step %d (now at %d)", trunk.run_id,
                            trunk.wanted_step, trunk_step),
            "", false, false};
  }
  return {"", trunk.root_ids.empty() ? own.root_id() : trunk.root_ids.front(), false, false};
}

std::string WhyNoTokenizer(const store::InputRun& tokenizer, const InputKnowledge& known) {
  const std::string needs = absl::StrFormat("needs run %d's tokenizer", tokenizer.run_id);
  if (tokenizer.is_to_come) {
    return absl::StrFormat("%s (now at step %d of %d)", needs, known.step_of(tokenizer),
                           tokenizer.wanted_step);
  }
  if (tokenizer.state != v1::RUN_SUCCEEDED) {
    return absl::StrFormat(
        "%s, and run %d %s: 'allo retry %s' takes it up again", needs, tokenizer.run_id,
        tokenizer.state == v1::RUN_CANCELLED ? "was cancelled" : "failed", tokenizer.sweep);
  }
  if (tokenizer.root_ids.empty()) return absl::StrCat(needs, ", of which no good file is left");
  for (const std::string& root_id : tokenizer.root_ids) {
    if (known.live_roots.count(root_id) == 0) continue;
    return absl::StrFormat(
        "%s, and no worker of run root %s, where it lies, has the slots and the data", needs,
        root_id);
  }
  return absl::StrFormat("%s, and no worker of run root %s, where it lies, is connected", needs,
                         absl::StrJoin(tokenizer.root_ids, " or "));
}

}  // namespace

InputWait WaitForInputs(const store::RunRow& row, const InputKnowledge& known) {
  if (!row.tokenizer.has_value()) {
    return WaitForTrunk(row, known.step_of(*row.trunk), known.live_roots);
  }
  std::set<std::string> usable;
  if (row.tokenizer->state == v1::RUN_SUCCEEDED) {
    for (const std::string& root_id : row.tokenizer->root_ids) {
      if (known.live_roots.count(root_id) > 0 && known.could_run(root_id)) usable.insert(root_id);
    }
  }
  if (usable.empty()) return {WhyNoTokenizer(*row.tokenizer, known), "", false, true};
  InputWait wait = {"", row.run.checkpoint().root_id(), true, true};
  if (row.trunk.has_value()) {
    wait = WaitForTrunk(row, known.step_of(*row.trunk), usable);
    wait.root_is_live = wait.only_there = true;
  }
  if (usable.count(wait.root_id) == 0) wait.root_id = *usable.begin();
  return wait;
}

}  // namespace allometry::coordinator
