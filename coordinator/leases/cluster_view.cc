#include "coordinator/leases/cluster_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/cost/memory.h"
#include "coordinator/leases/input_wait.h"
#include "coordinator/schedule/after_exit.h"
#include "data/manifest.h"
#include "data/union_name.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

bool IsOpen(const v1::Run& run) { return run.state() == v1::PENDING || run.state() == v1::LEASED; }

// Its newest attempt died in a way that a host can cause, before it got going, or once more would
// be for good.
bool MayAvoidItsHost(const store::RunRow& row) {
  if (!row.attempt.has_value()) return false;
  const schedule::RetryOptions retry;
  if (row.run.lost_leases() >= retry.max_lost_leases - 2) return true;
  if (!schedule::HostMayBeAtFault(row.attempt->exit_reason)) return false;
  return !row.attempt->made_progress || row.attempt->charged_to_host ||
         row.attempt->exit_reason == v1::CHECKPOINT || row.run.failures() >= retry.max_failures - 1;
}

}  // namespace

void ClusterView::Put(const store::RunRow& row, int64_t now_ns) {
  const int64_t run_id = row.run.run_id();
  const bool leased = row.run.state() == v1::LEASED;
  OpenRun next{row};
  next.streamed = row.attempt.has_value() && row.attempt->durable_sequence > 0;
  next.deadline_ns = leased ? now_ns + lease_ns_ : 0;
  next.started_ns = leased ? now_ns : 0;
  next.ended_ns = leased ? 0 : now_ns;
  now_ns_ = std::max(now_ns_, now_ns);
  int64_t waiting_since_ns = now_ns;
  if (const auto before = runs_.find(run_id); before != runs_.end()) {
    const OpenRun& old = before->second;
    const bool was_leased = old.row.run.state() == v1::LEASED;
    if (was_leased && !leased) {
      SuspectDevices(*old.row.attempt);
      if (row.attempt.has_value()) ExpectRoom(*row.attempt);
    }
    if (was_leased && !leased && row.attempt.has_value() && row.attempt->exit_reason == v1::DATA) {
      SuspectDataset(row.attempt->agent_id, row.run.spec().identity().dataset_hash());
    }
    if (was_leased && !leased && row.attempt.has_value()) {
      hosts_changed_ = true;
      if (row.attempt->charged_to_host) BackOffUntilJudged(*row.attempt);
    }
    if (!was_leased) {
      waiting_since_ns = state().runs.at(run_id).waiting_since_ns;
      if (!leased) next.ended_ns = old.ended_ns;
    }
    if (old.row.attempt.has_value() && row.attempt.has_value() &&
        old.row.attempt->lease.token() == row.attempt->lease.token()) {
      next.streamed = next.streamed || old.streamed;
      next.row.run.set_step(std::max(next.row.run.step(), old.row.run.step()));
      if (was_leased && leased) {
        next.deadline_ns = old.deadline_ns;
        next.started_ns = old.started_ns;
      }
    }
    Remove(run_id);
  }
  dirty_ = true;
  RememberLimits(row);
  if (!IsOpen(row.run)) return;

  const v1::RunSpec& spec = row.run.spec();
  schedule::RunState state;
  state.run_id = run_id;
  state.sweep_id = row.sweep_id;
  state.priority = row.priority;
  // Later steps of the ladder, and the grid of its own size, wait for a tuning run's loss.
  state.ahead = StageOf(row.run) == run::Stage::kLadder;
  state.ranks = spec.ranks();
  state.device = DeviceOf(spec);
  state.dataset = spec.identity().dataset();
  // A generated dataset is there everywhere; a union where its members are.
  const bool is_union = data::IsUnion(state.dataset);
  if (is_union) KnowUnion(state.dataset);
  if (is_union || !data::IsGenerated(state.dataset)) {
    state.dataset_hash = spec.identity().dataset_hash();
  }
  state.is_command = spec.identity().settings().contains("trainer.command");
  if (state.is_command) state.dataset_hash = schedule::CommandsWith(state.dataset_hash);
  state.checkpoint_root_id = row.run.checkpoint().root_id();
  state.waiting_since_ns = waiting_since_ns;
  state.flops_remaining = cost::RemainingFlops(next.row.run, row.flops_convention);
  state.duration = DurationOf(next, state.flops_remaining);
  state.memory_bytes = row.run.memory_bytes();
  if (state.memory_bytes == 0) {
    state.memory_bytes = static_cast<int64_t>(cost::RankMemoryBytes(row.run));
  }
  state.max_sharers =
      sharing_.MostUsefulSharers(state.device, static_cast<double>(row.run.n_params()));
  if (leased) {
    const store::Attempt& attempt = *row.attempt;
    state.placement = {attempt.lease.attempt(), attempt.agent_id, attempt.slots};
    state.started_ns = next.started_ns;
    state.stopping = attempt.stop != store::StopAsked::kNone;
    held_by_[attempt.agent_id].insert(run_id);
  }
  if (!leased) state.blocked = LimitOf(row);
  if (!leased && MayAvoidItsHost(row)) {
    avoiding_.insert(run_id);
    state.avoided_host = HostToAvoid(next, state);
  }
  next.by_limit = !state.blocked.empty();
  scheduler_.PutRun(std::move(state));
  runs_.insert_or_assign(run_id, std::move(next));
  if (leased) RefreshSlots(row.attempt->agent_id);
  const std::vector<int64_t> inputs = InputsOf(row);
  if (inputs.empty() || leased) return;
  for (const int64_t input_id : inputs) dependents_[input_id].insert(run_id);
  RefreshInputs(run_id);
  for (const int64_t input_id : inputs) RefreshDuration(input_id);
}

void ClusterView::Remove(int64_t run_id) {
  const auto node = runs_.extract(run_id);
  avoiding_.erase(run_id);
  scheduler_.RemoveRun(run_id);
  const store::RunRow& row = node.mapped().row;
  for (const int64_t input_id : InputsOf(row)) {
    const auto dependents = dependents_.find(input_id);
    if (dependents != dependents_.end() && dependents->second.erase(run_id) > 0 &&
        dependents->second.empty()) {
      dependents_.erase(dependents);
    }
    RefreshDuration(input_id);
  }
  if (row.run.state() != v1::LEASED) return;
  const std::string& agent_id = row.attempt->agent_id;
  const auto held = held_by_.find(agent_id);
  held->second.erase(run_id);
  if (held->second.empty()) held_by_.erase(held);
  RefreshSlots(agent_id);
}

const store::RunRow* ClusterView::Find(int64_t run_id) const {
  const auto found = runs_.find(run_id);
  return found == runs_.end() ? nullptr : &found->second.row;
}

const std::set<int64_t>& ClusterView::HeldBy(const std::string& agent_id) const {
  static const std::set<int64_t> none;
  const auto found = held_by_.find(agent_id);
  return found == held_by_.end() ? none : found->second;
}

void ClusterView::Progress(const v1::Lease& lease, int64_t step, double tokens_per_second) {
  const auto found = runs_.find(lease.run_id());
  if (found == runs_.end() || !found->second.row.attempt.has_value() ||
      found->second.row.attempt->lease.token() != lease.token()) {
    return;
  }
  OpenRun& run = found->second;
  run.streamed = true;
  if (step > 0 && backoffs_.count(run.row.attempt->host) > 0) hosts_changed_ = true;
  run.row.run.set_step(std::max(run.row.run.step(), step));
  const double flops_remaining = cost::RemainingFlops(run.row.run, run.row.flops_convention);
  scheduler_.SetRemaining(lease.run_id(), flops_remaining, DurationOf(run, flops_remaining));
  if (tokens_per_second > 0) {
    run.row.run.set_tokens_per_second(tokens_per_second);
    Measured(run, tokens_per_second);
  }
}

void ClusterView::Measured(OpenRun& run, double tokens_per_second) {
  const auto params = static_cast<double>(run.row.run.n_params());
  const schedule::RunState& state = scheduler_.state().runs.at(run.row.run.run_id());
  const int32_t sharers = SharersOf(state);
  const bool settled = std::exchange(run.sharers, sharers) == sharers;
  if (settled && sharers >= 1) {
    pace_changed_ |= sharing_.Measured(state.device, params, sharers, tokens_per_second);
  }
  // What a run makes on a device for itself is the pace of its size.
  if (sharers > 1 && pace_.count(params) > 0) return;
  pace_[params] = tokens_per_second * cost::FlopsPerToken(run.row.run, run.row.flops_convention) /
                  std::max(1, run.row.run.spec().ranks());
  pace_changed_ = true;
}

bool ClusterView::HasStreamed(int64_t run_id) const {
  const auto found = runs_.find(run_id);
  return found != runs_.end() && found->second.streamed;
}

double ClusterView::DurationOf(const OpenRun& run, double flops_remaining) const {
  // What waits for a run that waits itself ends after both: the longest way goes first.
  const auto dependents = dependents_.find(run.row.run.run_id());
  if (dependents != dependents_.end() && run.row.run.state() == v1::PENDING) {
    double longest = 0;
    for (const int64_t dependent : dependents->second) {
      longest = std::max(longest, state().runs.at(dependent).flops_remaining);
    }
    flops_remaining += longest;
  }
  const double of_a_rank = flops_remaining / std::max(1, run.row.run.spec().ranks());
  const auto rate = throughput_.FlopsPerSecond(static_cast<double>(run.row.run.n_params()));
  return rate.has_value() ? of_a_rank / *rate : of_a_rank;
}

void ClusterView::RefreshDurations() {
  if (!std::exchange(pace_changed_, false)) return;
  std::vector<cost::ThroughputSample> samples;
  for (const auto& [params, rate] : pace_) samples.push_back({params, rate});
  throughput_ = cost::Throughput(std::move(samples));
  constexpr double kKeepsItsPlace = 0.05;
  for (const auto& [run_id, run] : runs_) {
    const schedule::RunState& state = scheduler_.state().runs.at(run_id);
    const double duration = DurationOf(run, state.flops_remaining);
    const bool is_near = std::abs(duration - state.duration) < kKeepsItsPlace * state.duration;
    if (state.placement.has_value() || !is_near) {
      scheduler_.SetRemaining(run_id, state.flops_remaining, duration);
    }
    const int32_t most =
        sharing_.MostUsefulSharers(state.device, static_cast<double>(run.row.run.n_params()));
    if (most == state.max_sharers) continue;
    scheduler_.ChangeRun(run_id, [most](schedule::RunState& own) { own.max_sharers = most; });
    dirty_ = true;
  }
}

LeaseStatus ClusterView::LeaseStatusOf(const v1::Lease& lease, const std::string& agent_id) const {
  const store::RunRow* row = Find(lease.run_id());
  if (row == nullptr || !row->attempt.has_value() || row->attempt->lease.token() != lease.token() ||
      row->attempt->agent_id != agent_id) {
    return LeaseStatus::kGone;
  }
  switch (row->attempt->state) {
    case store::AttemptState::kLeased:
      return LeaseStatus::kLeased;
    case store::AttemptState::kExpired:
      return LeaseStatus::kMayReturn;
    case store::AttemptState::kGivenBack:
      return LeaseStatus::kDelivers;
    case store::AttemptState::kEnded:
      return LeaseStatus::kGone;
  }
  return LeaseStatus::kGone;
}

const ClusterView::OpenRun* ClusterView::Leased(const v1::Lease& lease) const {
  const auto found = runs_.find(lease.run_id());
  if (found == runs_.end()) return nullptr;
  const store::RunRow& row = found->second.row;
  const bool is_of_it =
      row.run.state() == v1::LEASED && row.attempt->lease.token() == lease.token();
  return is_of_it ? &found->second : nullptr;
}

void ClusterView::Renew(const v1::Lease& lease, int64_t now_ns) {
  if (Leased(lease) == nullptr) return;
  int64_t& deadline_ns = runs_.at(lease.run_id()).deadline_ns;
  deadline_ns = std::max(deadline_ns, now_ns + lease_ns_);
}

int64_t ClusterView::RemainingNs(const v1::Lease& lease, int64_t now_ns) const {
  const OpenRun* run = Leased(lease);
  return run == nullptr ? 0 : run->deadline_ns - now_ns;
}

std::vector<v1::Lease> ClusterView::Expired(int64_t now_ns) const {
  std::vector<v1::Lease> expired;
  for (const auto& [agent_id, held] : held_by_) {
    for (const int64_t run_id : held) {
      const OpenRun& run = runs_.at(run_id);
      if (run.deadline_ns <= now_ns) expired.push_back(run.row.attempt->lease);
    }
  }
  return expired;
}

bool ClusterView::TakeDirty() { return std::exchange(dirty_, false); }

std::string ClusterView::WaitingReason(int64_t run_id) const {
  const auto run = state().runs.find(run_id);
  if (run == state().runs.end() || run->second.placement.has_value()) return "";
  // What it needs goes on without a decision.
  const OpenRun& own = runs_.at(run_id);
  if (!run->second.blocked.empty() && !own.by_limit && !InputsOf(own.row).empty()) {
    return absl::StrCat("waiting: ", WaitOf(run_id).blocked);
  }
  return scheduler_.WhyItWaits(run_id);
}

}  // namespace allometry::coordinator
