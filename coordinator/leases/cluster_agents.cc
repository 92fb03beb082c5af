// Agents in the view: what they offer, what is free of it, and who of them gets runs.
#include <algorithm>
#include <optional>
#include <utility>

#include "coordinator/leases/cluster_view.h"
#include "data/union_name.h"

namespace allometry::coordinator {
namespace {

bool SameSlot(const v1::Slot& a, const v1::Slot& b) {
  return a.host() == b.host() && a.device() == b.device();
}

bool Contains(const std::vector<v1::Slot>& slots, const v1::Slot& slot) {
  return std::any_of(slots.begin(), slots.end(),
                     [&](const v1::Slot& other) { return SameSlot(other, slot); });
}

// As they are offered: with their memory and the runs that they take.
bool SameSlots(const std::vector<v1::Slot>& a, const std::vector<v1::Slot>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const v1::Slot& one, const v1::Slot& other) {
                      return SameSlot(one, other) && one.runs() == other.runs() &&
                             one.memory_bytes() == other.memory_bytes();
                    });
}

}  // namespace

std::set<std::string> ClusterView::HashesOf(const std::vector<v1::Dataset>& datasets,
                                            bool runs_commands) const {
  std::set<std::string> hashes;
  for (const v1::Dataset& dataset : datasets) hashes.insert(dataset.hash());
  for (const std::string& name : unions_) {
    const auto hash = data::UnionHash(name, [&](const std::string& member) {
      const auto found =
          std::find_if(datasets.begin(), datasets.end(),
                       [&](const v1::Dataset& dataset) { return dataset.name() == member; });
      return found == datasets.end() ? std::nullopt : std::optional(found->hash());
    });
    if (hash.has_value()) hashes.insert(*hash);
  }
  if (!runs_commands) return hashes;
  std::set<std::string> with_commands = {schedule::CommandsWith("")};
  for (const std::string& hash : hashes) with_commands.insert(schedule::CommandsWith(hash));
  hashes.merge(with_commands);
  return hashes;
}

void ClusterView::KnowUnion(const std::string& text) {
  if (!unions_.insert(text).second) return;
  for (const auto& [agent_id, agent] : agents_) {
    scheduler_.ChangeAgent(agent_id, [&](schedule::AgentState& own) {
      own.dataset_hashes.merge(HashesOf(agent.datasets, own.runs_commands));
    });
  }
  RefreshPlaces();
}

void ClusterView::PutAgent(const v1::RegisterRequest& request, int64_t now_ns) {
  KnownAgent& agent = agents_[request.agent_id()];
  agent = KnownAgent();
  agent.host = request.host();
  agent.run_root_id = request.run_root_id();
  agent.slots.assign(request.slots().begin(), request.slots().end());
  agent.datasets.assign(request.datasets().begin(), request.datasets().end());
  agent.version = request.version();
  agent.heard_ns = now_ns;
  schedule::AgentState state;
  state.agent_id = request.agent_id();
  state.host = request.host();
  state.run_root_id = request.run_root_id();
  agent.problem = request.problem();
  // Whoever starts a worker again has done something about it.
  if (const auto rest = backoffs_.find(request.host()); rest != backoffs_.end()) {
    rest->second.until_ns = std::min(rest->second.until_ns, now_ns);
  }
  state.runs_commands = request.runs_commands();
  state.dataset_hashes = HashesOf(agent.datasets, state.runs_commands);
  scheduler_.PutAgent(std::move(state));
  emptying_.erase(request.agent_id());
  now_ns_ = std::max(now_ns_, now_ns);
  RefreshSlots(request.agent_id());
  RefreshAllHostStatus();
  RefreshPlaces();
  dirty_ = true;
}

void ClusterView::RemoveAgent(const std::string& agent_id) {
  agents_.erase(agent_id);
  emptying_.erase(agent_id);
  scheduler_.RemoveAgent(agent_id);
  RefreshPlaces();
  dirty_ = true;
}

KnownAgent* ClusterView::FindAgent(const std::string& agent_id) {
  const auto found = agents_.find(agent_id);
  return found == agents_.end() ? nullptr : &found->second;
}

bool ClusterView::RecordHeartbeat(const v1::HeartbeatRequest& request, int64_t now_ns) {
  KnownAgent& agent = agents_.at(request.agent_id());
  agent.heard_ns = std::max(agent.heard_ns, now_ns);
  now_ns_ = std::max(now_ns_, now_ns);
  if (agent.problem != request.problem()) {
    // What it mended is tried at once.
    const auto rest = backoffs_.find(agent.host);
    if (request.problem().empty() && rest != backoffs_.end()) {
      rest->second.until_ns = std::min(rest->second.until_ns, now_ns);
    }
    agent.problem = request.problem();
    RefreshAllHostStatus();
    RefreshPlaces();
  }
  std::set<std::string> held;
  for (const v1::HeldAttempt& attempt : request.held()) held.insert(attempt.lease().token());
  const std::vector<v1::Slot> free_slots(request.free_slots().begin(), request.free_slots().end());
  if (!agent.reported || !SameSlots(agent.free_slots, free_slots) || agent.held != held) {
    agent.reported = true;
    agent.free_slots = free_slots;
    agent.held = std::move(held);
    RefreshSlots(request.agent_id());
    if (const auto emptying = emptying_.find(request.agent_id()); emptying != emptying_.end()) {
      std::erase_if(emptying->second,
                    [&](const std::string& token) { return agent.held.count(token) == 0; });
      if (emptying->second.empty()) emptying_.erase(emptying);
      dirty_ = true;
    }
  }
  std::vector<v1::Dataset> datasets(request.datasets().begin(), request.datasets().end());
  std::set<std::string> hashes =
      HashesOf(datasets, state().agents.at(request.agent_id()).runs_commands);
  if (hashes == state().agents.at(request.agent_id()).dataset_hashes) return false;
  agent.datasets = std::move(datasets);
  scheduler_.ChangeAgent(request.agent_id(), [&](schedule::AgentState& own) {
    own.dataset_hashes = std::move(hashes);
  });
  RefreshPlaces();
  dirty_ = true;
  return true;
}

int32_t ClusterView::RoomOn(const KnownAgent& agent, const std::string& agent_id,
                            const v1::Slot& slot) const {
  const int32_t most = std::max(1, slot.runs());
  int32_t placed = 0, known = 0;
  for (const int64_t run_id : HeldBy(agent_id)) {
    const OpenRun& run = runs_.at(run_id);
    if (!Contains(run.row.attempt->slots, slot)) continue;
    ++placed;
    known += agent.held.count(run.row.attempt->lease.token()) > 0;
  }
  const auto free = std::find_if(agent.free_slots.begin(), agent.free_slots.end(),
                                 [&](const v1::Slot& other) { return SameSlot(other, slot); });
  if (most == 1) return placed > 0 || free != agent.free_slots.end() ? 1 : 0;
  const int32_t reported_free = free == agent.free_slots.end() ? 0 : std::max(1, free->runs());
  // More are on it than rows know of: they end now, and leave nobody new beside them.
  return most - reported_free > known ? placed : most;
}

void ClusterView::RefreshSlots(const std::string& agent_id) {
  const auto found = agents_.find(agent_id);
  if (found == agents_.end()) return;
  std::vector<v1::Slot> usable;
  for (const v1::Slot& slot : found->second.slots) {
    const int32_t room = RoomOn(found->second, agent_id, slot);
    if (room == 0) continue;
    usable.push_back(slot);
    usable.back().set_runs(room);
  }
  const schedule::AgentState& state = scheduler_.state().agents.at(agent_id);
  const bool same = state.live == found->second.reported && SameSlots(state.slots, usable);
  if (same) return;
  const bool comes_or_goes = state.live != found->second.reported;
  scheduler_.ChangeAgent(agent_id, [&](schedule::AgentState& own) {
    own.slots = std::move(usable);
    own.live = found->second.reported;
  });
  if (comes_or_goes) RefreshPlaces();
  dirty_ = true;
}

int32_t ClusterView::RoomBeside(const std::string& agent_id, const v1::Slot& slot) const {
  int32_t room = std::max(1, slot.runs());
  for (const int64_t run_id : HeldBy(agent_id)) {
    const std::vector<v1::Slot>& slots = state().runs.at(run_id).placement->slots;
    if (Contains(slots, slot)) room = slots.size() > 1 ? 0 : room - 1;
    if (room <= 0) return 0;
  }
  return room;
}

std::vector<std::string> ClusterView::SilentSince(int64_t heard_before_ns) const {
  std::vector<std::string> silent;
  for (const auto& [agent_id, agent] : agents_) {
    if (agent.heard_ns < heard_before_ns) silent.push_back(agent_id);
  }
  return silent;
}

int ClusterView::LiveSlots() const {
  size_t slots = 0;
  for (const auto& [agent_id, agent] : agents_) {
    if (agent.reported) slots += agent.slots.size();
  }
  return static_cast<int>(slots);
}

void ClusterView::SuspectDataset(const std::string& agent_id, const std::string& hash) {
  if (agents_.count(agent_id) == 0) return;
  scheduler_.ChangeAgent(agent_id, [&](schedule::AgentState& agent) {
    agent.dataset_hashes.erase(hash);
    agent.dataset_hashes.erase(schedule::CommandsWith(hash));
  });
  RefreshPlaces();
}

void ClusterView::SuspectDevices(const store::Attempt& attempt) {
  const auto found = agents_.find(attempt.agent_id);
  if (found == agents_.end() || found->second.held.count(attempt.lease.token()) > 0) return;
  std::vector<v1::Slot>& free = found->second.free_slots;
  for (const v1::Slot& slot : attempt.slots) {
    const auto own = std::find_if(free.begin(), free.end(),
                                  [&](const v1::Slot& other) { return SameSlot(other, slot); });
    if (own == free.end()) continue;
    own->set_runs(own->runs() - 1);
    if (own->runs() <= 0) free.erase(own);
  }
}

void ClusterView::ExpectRoom(const store::Attempt& attempt) {
  if (attempt.stop == store::StopAsked::kNone || attempt.state != store::AttemptState::kEnded) {
    return;
  }
  const auto found = agents_.find(attempt.agent_id);
  if (found == agents_.end() || found->second.held.count(attempt.lease.token()) == 0) return;
  emptying_[attempt.agent_id].insert(attempt.lease.token());
}

int32_t ClusterView::SharersOf(const schedule::RunState& run) const {
  if (!run.placement.has_value() || run.placement->slots.size() != 1) return 0;
  int32_t sharers = 0;
  for (const int64_t other : HeldBy(run.placement->agent_id)) {
    const schedule::RunState& state = scheduler_.state().runs.at(other);
    sharers += Contains(state.placement->slots, run.placement->slots.front());
  }
  return sharers;
}

}  // namespace allometry::coordinator
