#include "coordinator/schedule/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/schedule/reasons.h"

namespace allometry::schedule {
namespace {

bool IsWaiting(const RunState& run) { return !run.placement.has_value() && run.blocked.empty(); }

}  // namespace

void Scheduler::CountWork(const RunState& run, int sign) {
  if (!run.blocked.empty() && !run.placement.has_value()) return;
  open_work_[run.device].Add(sign * run.duration * run.ranks);
}

void Scheduler::Insert(const RunState& run) {
  reasons_.clear();
  CountWork(run, 1);
  if (IsWaiting(run)) queues_.Add(run);
  if (!run.placement.has_value()) return;
  capacity_.Add(run, run.placement->agent_id, run.placement->slots);
  held_by_[run.placement->agent_id].insert(run.run_id);
  queues_.SetShare(run.sweep_id, shares_[run.sweep_id] += run.ranks);
  leased_[run.priority].insert(run.started_ns);
  stopping_ += run.stopping;
}

void Scheduler::Extract(const RunState& run) {
  reasons_.clear();
  CountWork(run, -1);
  if (IsWaiting(run)) queues_.Remove(run);
  if (!run.placement.has_value()) return;
  capacity_.Remove(run, run.placement->agent_id, run.placement->slots);
  const auto held = held_by_.find(run.placement->agent_id);
  held->second.erase(run.run_id);
  if (held->second.empty()) held_by_.erase(held);
  const int64_t share = shares_[run.sweep_id] -= run.ranks;
  queues_.SetShare(run.sweep_id, share);
  if (share == 0) shares_.erase(run.sweep_id);
  std::multiset<int64_t>& starts = leased_.at(run.priority);
  starts.erase(starts.find(run.started_ns));
  if (starts.empty()) leased_.erase(run.priority);
  stopping_ -= run.stopping;
}

void Scheduler::PutRun(RunState run) {
  ALLO_CHECK(run.ranks >= 1) << "run " << run.run_id << " needs " << run.ranks << " slots";
  const auto [place, is_new] = state_.runs.try_emplace(run.run_id);
  if (!is_new) Extract(place->second);
  place->second = std::move(run);
  Insert(place->second);
}

void Scheduler::RemoveRun(int64_t run_id) {
  const auto run = state_.runs.find(run_id);
  if (run == state_.runs.end()) return;
  Extract(run->second);
  state_.runs.erase(run);
}

void Scheduler::ChangeRun(int64_t run_id, absl::FunctionRef<void(RunState&)> change) {
  RunState& run = state_.runs.at(run_id);
  Extract(run);
  change(run);
  ALLO_CHECK(run.run_id == run_id && run.ranks >= 1) << "run " << run_id;
  Insert(run);
}

void Scheduler::SetRemaining(int64_t run_id, double flops_remaining, double duration) {
  RunState& run = state_.runs.at(run_id);
  if (run.flops_remaining == flops_remaining && run.duration == duration) return;
  if (IsWaiting(run)) queues_.Remove(run);
  CountWork(run, -1);
  run.flops_remaining = flops_remaining;
  run.duration = duration;
  CountWork(run, 1);
  if (IsWaiting(run)) queues_.Add(run);
  if (run.placement.has_value()) capacity_.Refresh(run);
}

void Scheduler::PutAgent(AgentState agent) {
  reasons_.clear();
  AgentState& own = state_.agents[agent.agent_id];
  capacity_.RemoveAgent(agent.agent_id);
  own = std::move(agent);
  capacity_.PutAgent(own);
  const auto held = held_by_.find(own.agent_id);
  if (held == held_by_.end()) return;
  for (const int64_t run_id : held->second) {
    const RunState& run = state_.runs.at(run_id);
    capacity_.Add(run, own.agent_id, run.placement->slots);
  }
}

void Scheduler::RemoveAgent(const std::string& agent_id) {
  reasons_.clear();
  capacity_.RemoveAgent(agent_id);
  state_.agents.erase(agent_id);
}

void Scheduler::ChangeAgent(const std::string& agent_id,
                            absl::FunctionRef<void(AgentState&)> change) {
  AgentState agent = state_.agents.at(agent_id);
  change(agent);
  PutAgent(std::move(agent));
}

Decision Scheduler::Decide(int64_t now_ns, const Options& options) {
  reasons_.clear();
  static const LeasedStarts nobody;
  const bool may_ask = options.preempt && stopping_ == 0;
  SchedulingPass deciding(capacity_, queues_, shares_, may_ask ? leased_ : nobody, open_work_,
                          now_ns, options);
  Decision decision = deciding.Run();
  held_for_ = capacity_.reservation().has_value() ? capacity_.reservation()->run_id : 0;
  return decision;
}

std::string Scheduler::WhyItWaits(int64_t run_id) const {
  const RunState& run = state_.runs.at(run_id);
  if (!run.blocked.empty()) return absl::StrCat("waiting: ", run.blocked);
  const auto [reason, is_new] = reasons_.try_emplace(NeedOf(run));
  if (is_new) reason->second = schedule::WhyItWaits(run, state_, capacity_, held_for_);
  return reason->second;
}

Decision Decide(const ClusterState& state, int64_t now_ns, const Options& options) {
  Scheduler scheduler;
  for (const auto& [agent_id, agent] : state.agents) scheduler.PutAgent(agent);
  for (const auto& [run_id, run] : state.runs) scheduler.PutRun(run);
  return scheduler.Decide(now_ns, options);
}

}  // namespace allometry::schedule
