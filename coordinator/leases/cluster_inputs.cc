// The view's runs that need others: what each waits for, and what that makes of those others'
// durations.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "coordinator/leases/cluster_view.h"
#include "coordinator/leases/input_wait.h"

namespace allometry::coordinator {
namespace {

// A run that failed on a host before it got going leaves it so long to others.
constexpr int64_t kOthersFirstNs = 1'000'000'000;

}  // namespace

std::vector<int64_t> ClusterView::InputsOf(const store::RunRow& row) {
  std::vector<int64_t> inputs;
  for (const auto& [kind, input] : row.inputs) inputs.push_back(input.run_id);
  return inputs;
}

InputWait ClusterView::WaitOf(int64_t run_id) const {
  const auto could_run = [&](const std::string& root_id) {
    return CouldRunUnder(root_id, state().runs.at(run_id));
  };
  const auto step_of = [&](const store::InputRun& input) {
    const auto run = runs_.find(input.run_id);
    return run == runs_.end() ? input.step : run->second.row.run.step();
  };
  return WaitForInputs(runs_.at(run_id).row, {live_roots_, could_run, step_of});
}

void ClusterView::RefreshInputs(int64_t run_id) {
  InputWait wait = WaitOf(run_id);
  OpenRun& run = runs_.at(run_id);
  run.by_limit = wait.blocked.empty();
  if (run.by_limit) wait.blocked = LimitOf(run.row);
  run.by_limit &= !wait.blocked.empty();
  const schedule::RunState& before = state().runs.at(run_id);
  const bool bound = wait.root_is_live && CouldRunUnder(wait.root_id, before);
  if (before.blocked == wait.blocked && before.checkpoint_root_id == wait.root_id &&
      before.bound_to_root == bound) {
    return;
  }
  dirty_ = true;
  scheduler_.ChangeRun(run_id, [&](schedule::RunState& own) {
    own.blocked = wait.blocked;
    own.checkpoint_root_id = wait.root_id;
    own.bound_to_root = bound;
  });
}

bool ClusterView::CouldRun(const schedule::AgentState& agent, const schedule::RunState& run) const {
  if (!agent.live || !agent.drained.empty()) return false;
  if (!run.dataset_hash.empty() && agent.dataset_hashes.count(run.dataset_hash) == 0) return false;
  const std::vector<v1::Slot>& slots = agents_.at(agent.agent_id).slots;
  return std::count_if(slots.begin(), slots.end(), [&](const v1::Slot& slot) {
           return schedule::KindOf(slot) == run.device;
         }) >= run.ranks;
}

bool ClusterView::CouldRunUnder(const std::string& root_id, const schedule::RunState& run) const {
  return std::any_of(state().agents.begin(), state().agents.end(), [&](const auto& entry) {
    return entry.second.run_root_id == root_id && CouldRun(entry.second, run);
  });
}

std::string ClusterView::HostToAvoid(const OpenRun& own, const schedule::RunState& run) const {
  const std::string& host = own.row.attempt->host;
  if (!own.row.attempt->made_progress) {
    const auto rest = backoffs_.find(host);
    const int64_t from_ns = rest == backoffs_.end() ? own.ended_ns : rest->second.until_ns;
    if (now_ns_ < from_ns + kOthersFirstNs) return host;
  }
  // What it needs of others binds it to where that is.
  if (!InputsOf(own.row).empty()) return "";
  const bool elsewhere = std::any_of(
      state().agents.begin(), state().agents.end(),
      [&](const auto& entry) { return entry.second.host != host && CouldRun(entry.second, run); });
  return elsewhere ? host : "";
}

void ClusterView::RefreshPlaces() {
  std::map<std::string, std::pair<std::string, std::set<std::string>>> places;
  for (const auto& [agent_id, agent] : state().agents) {
    if (agent.live && agent.drained.empty()) {
      places[agent_id] = {agent.run_root_id, agent.dataset_hashes};
    }
  }
  if (places == places_) return;
  places_ = std::move(places);
  live_roots_.clear();
  for (const auto& [agent_id, place] : places_) live_roots_.insert(place.first);
  std::set<int64_t> waiting;
  for (const auto& [input_id, runs] : dependents_) waiting.insert(runs.begin(), runs.end());
  for (const int64_t run_id : waiting) {
    const auto& inputs = runs_.at(run_id).row.inputs;
    // Where no root has a checkpoint, no agent makes a difference.
    if (std::any_of(inputs.begin(), inputs.end(),
                    [](const auto& input) { return !input.second.root_ids.empty(); })) {
      RefreshInputs(run_id);
    }
  }
  RefreshAvoidedHosts();
}

void ClusterView::RefreshAvoidedHosts() {
  for (const int64_t run_id : avoiding_) {
    const schedule::RunState& before = state().runs.at(run_id);
    std::string host = HostToAvoid(runs_.at(run_id), before);
    if (host == before.avoided_host) continue;
    dirty_ = true;
    scheduler_.ChangeRun(run_id,
                         [&](schedule::RunState& own) { own.avoided_host = std::move(host); });
  }
}

void ClusterView::RefreshDuration(int64_t run_id) {
  const auto run = runs_.find(run_id);
  if (run == runs_.end()) return;
  const double flops_remaining = state().runs.at(run_id).flops_remaining;
  scheduler_.SetRemaining(run_id, flops_remaining, DurationOf(run->second, flops_remaining));
}

}  // namespace allometry::coordinator
