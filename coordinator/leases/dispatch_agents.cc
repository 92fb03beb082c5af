// Dispatch's conversation with the agents: registrations, heartbeats, what each should hold.
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/leases/dispatch.h"
#include "coordinator/leases/registration.h"

namespace allometry::coordinator {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int kMaxHeld = 65536;
// How often an agent is told what it may delete, in heartbeats. It is told until it says that the
// file is gone.
constexpr int kHeartbeatsBetweenNaming = 10;
// How long a worker sends a log after somebody asked for it, in heartbeats.
constexpr int kLogHeartbeats = 15;

}  // namespace

std::vector<std::string> Dispatch::LiveAgents(const std::string& but, int64_t now_ns) const {
  MutexLock lock(mutex_);
  std::set<std::string> live;
  if (now_ns < grace_until_ns_) live = grace_agents_;
  for (const auto& [agent_id, agent] : view_.agents()) {
    // The last heartbeat of an agent that stops: it holds nothing and offers nothing, and not
    // because of a problem. Its devices are free for another one at once.
    const bool goes =
        agent.reported && agent.held.empty() && agent.free_slots.empty() && agent.problem.empty();
    if (goes) {
      live.erase(agent_id);
    } else {
      live.insert(agent_id);
    }
  }
  live.erase(but);
  return {live.begin(), live.end()};
}

absl::StatusOr<v1::RegisterResponse> Dispatch::Register(const v1::RegisterRequest& request) {
  ALLO_RETURN_IF_ERROR(CheckRegistration(request));
  {
    MutexLock registering(registering_);
    for (const v1::GivenBack& given_back : request.given_back()) {
      const absl::Status status = store_->GiveBack(given_back);
      // Stale: the run was given away already, and there is nothing to give back.
      if (!status.ok() && !absl::IsFailedPrecondition(status)) return status;
    }
    const int64_t now_ns = options_.clock->BootNanos();
    ALLO_RETURN_IF_ERROR(store_->RegisterAgent(request, LiveAgents(request.agent_id(), now_ns)));
    MutexLock lock(mutex_);
    view_.PutAgent(request, now_ns);
  }
  v1::RegisterResponse response;
  response.set_lease_ms(options_.lease_ms);
  response.set_heartbeat_every_ms(options_.heartbeat_ms);
  response.set_incarnation(store_->incarnation());
  return response;
}

absl::StatusOr<v1::HeartbeatResponse> Dispatch::Heartbeat(const v1::HeartbeatRequest& request) {
  if (request.held_size() > kMaxHeld || request.free_slots_size() > kMaxSlots ||
      request.deleted_checkpoints_size() > kMaxHeld || request.deleted_runs_size() > kMaxHeld) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a heartbeat lists at most %d attempts, %d free slots, and %d deleted checkpoints and runs",
        kMaxHeld, kMaxSlots, kMaxHeld));
  }
  if (!request.incarnation().empty() && request.incarnation() != store_->incarnation()) {
    return absl::NotFoundError("the coordinator or its database is another one now: register");
  }
  const int64_t now_ns = options_.clock->BootNanos();
  bool other_datasets = false;
  {
    MutexLock lock(mutex_);
    if (view_.FindAgent(request.agent_id()) == nullptr) {
      return absl::NotFoundError(absl::StrFormat(
          "agent '%s' is not registered, or was silent for a lease: register", request.agent_id()));
    }
    other_datasets = view_.RecordHeartbeat(request, now_ns);
    TakeLogs(request, now_ns);
  }
  if (other_datasets) {
    const absl::Status updated = store_->UpdateAgentDatasets(
        request.agent_id(),
        std::vector<v1::Dataset>(request.datasets().begin(), request.datasets().end()));
    // The view has them; the rows are for people.
    if (!updated.ok()) LogOnce(absl::StrCat("datasets were not stored: ", updated.message()));
  }
  for (const v1::Lease& lease : RenewHeld(request, now_ns)) {
    const absl::Status returned = store_->ReturnLease(lease);
    if (!returned.ok() && !absl::IsFailedPrecondition(returned)) return returned;
  }
  Decide();
  v1::HeartbeatResponse response = ReplyWithHolds(request, now_ns);
  const absl::Status forgotten = ForgetDeleted(request);
  if (!forgotten.ok()) {
    LogOnce(absl::StrCat("what is deleted is named again: ", forgotten.message()));
  }
  const absl::Status named = NameDeletable(request.agent_id(), now_ns, response);
  // What holds leases must not wait for what frees disks.
  if (!named.ok()) LogOnce(absl::StrCat("old checkpoints stay for now: ", named.message()));
  return response;
}

void Dispatch::TakeLogs(const v1::HeartbeatRequest& request, int64_t now_ns) {
  for (auto log = logs_.begin(); log != logs_.end();) {
    log = log->second.until_ns < now_ns ? logs_.erase(log) : std::next(log);
  }
  if (logs_.empty()) return;
  for (const v1::HeldAttempt& held : request.held()) {
    const auto wanted = logs_.find(held.lease().token());
    if (wanted == logs_.end() || held.log_tail().empty()) continue;
    wanted->second.log = {held.log_tail(), options_.clock->UnixMicros()};
  }
}

RunningLog Dispatch::AskForLog(const v1::Lease& lease) {
  MutexLock lock(mutex_);
  WantedLog& wanted = logs_[lease.token()];
  wanted.until_ns = options_.clock->BootNanos() + kLogHeartbeats * options_.heartbeat_ms * kMs;
  return wanted.log;
}

std::vector<v1::Lease> Dispatch::RenewHeld(const v1::HeartbeatRequest& request, int64_t now_ns) {
  std::vector<v1::Lease> returning;
  MutexLock lock(mutex_);
  for (const v1::HeldAttempt& held : request.held()) {
    // An end that is being written cannot be called back: it is undone after it is done.
    while (expiring_.count(held.lease().token()) > 0) changed_.Wait(lock);
    switch (view_.LeaseStatusOf(held.lease(), request.agent_id())) {
      case LeaseStatus::kLeased:
        view_.Renew(held.lease(), now_ns);
        break;
      case LeaseStatus::kMayReturn:
        returning.push_back(held.lease());
        break;
      case LeaseStatus::kDelivers:
      case LeaseStatus::kGone:
        break;
    }
  }
  return returning;
}

v1::HeartbeatResponse Dispatch::ReplyWithHolds(const v1::HeartbeatRequest& request,
                                               int64_t now_ns) const {
  v1::HeartbeatResponse response;
  std::set<std::string> listed;
  MutexLock lock(mutex_);
  for (const v1::HeldAttempt& held : request.held()) {
    listed.insert(held.lease().token());
    if (view_.LeaseStatusOf(held.lease(), request.agent_id()) != LeaseStatus::kDelivers) continue;
    v1::Hold* hold = response.add_hold();
    *hold->mutable_lease() = held.lease();
    hold->set_lease_ms(options_.lease_ms);
    hold->set_durable_sequence(view_.Find(held.lease().run_id())->attempt->durable_sequence);
  }
  for (const int64_t run_id : view_.HeldBy(request.agent_id())) {
    const store::Attempt& attempt = *view_.Find(run_id)->attempt;
    const bool is_listed = listed.count(attempt.lease.token()) > 0;
    // What is not listed is not renewed: its lease ends when that of its start does.
    const int64_t lease_ms =
        is_listed ? options_.lease_ms : view_.RemainingNs(attempt.lease, now_ns) / kMs;
    if (lease_ms <= 0) continue;
    v1::Hold* hold = response.add_hold();
    *hold->mutable_lease() = attempt.lease;
    hold->set_lease_ms(lease_ms);
    hold->mutable_slots()->Add(attempt.slots.begin(), attempt.slots.end());
    hold->set_durable_sequence(attempt.durable_sequence);
    hold->set_preempt(attempt.stop == store::StopAsked::kPreempt);
    hold->set_cancel(attempt.stop == store::StopAsked::kCancel);
    hold->set_stop_within_ms(attempt.stop_within_ms);
    hold->set_send_log(logs_.count(attempt.lease.token()) > 0);
    // An attempt runs once: a trainer that has spoken is not started again.
    if (!is_listed && !view_.HasStreamed(run_id)) *hold->mutable_spec() = attempt.spec;
  }
  return response;
}

absl::Status Dispatch::NameDeletable(const std::string& agent_id, int64_t now_ns,
                                     v1::HeartbeatResponse& response) {
  std::string root_id;
  {
    MutexLock lock(mutex_);
    KnownAgent* agent = view_.FindAgent(agent_id);
    const int64_t every_ns = kHeartbeatsBetweenNaming * options_.heartbeat_ms * kMs;
    if (agent == nullptr || now_ns < agent->named_checkpoints_ns + every_ns) {
      return absl::OkStatus();
    }
    agent->named_checkpoints_ns = now_ns;
    root_id = agent->run_root_id;
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                        store_->DeletableCheckpoints(root_id));
  response.mutable_deletable_checkpoints()->Assign(paths.begin(), paths.end());
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::DeletableRun> runs,
                        store_->DeletableRuns(root_id));
  for (const store::DeletableRun& run : runs) {
    v1::DeletableRun& named = *response.add_deletable_runs();
    named.set_run_id(run.run_id);
    named.set_run_key(run.run_key);
  }
  return absl::OkStatus();
}

absl::Status Dispatch::ForgetDeleted(const v1::HeartbeatRequest& request) {
  if (request.deleted_checkpoints().empty() && request.deleted_runs().empty()) {
    return absl::OkStatus();
  }
  std::string root_id;
  {
    MutexLock lock(mutex_);
    const KnownAgent* agent = view_.FindAgent(request.agent_id());
    if (agent == nullptr) return absl::OkStatus();
    root_id = agent->run_root_id;
  }
  std::vector<int64_t> runs;
  for (const v1::DeletableRun& run : request.deleted_runs()) runs.push_back(run.run_id());
  ALLO_RETURN_IF_ERROR(store_->RunsDeleted(root_id, runs));
  if (request.deleted_checkpoints().empty()) return absl::OkStatus();
  // Of those that were never named, the store keeps what it has.
  return store_->CheckpointsDeleted(root_id,
                                    std::vector<std::string>(request.deleted_checkpoints().begin(),
                                                             request.deleted_checkpoints().end()));
}

}  // namespace allometry::coordinator
