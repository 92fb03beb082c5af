#include "coordinator/dispatch.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/planner/eta.h"
#include "coordinator/registration.h"
#include "coordinator/scheduler/decide.h"

namespace allometry::coordinator {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int kMaxHeld = 65536;
// How often an agent is told what it may delete, in heartbeats, and how often the same file before
// it counts as gone. A reply may be lost; five in a row from an agent that is heard are not.
constexpr int kHeartbeatsBetweenNaming = 10;
constexpr int kNamings = 5;

// What a batch says about its run: the newest step and the newest pace. Batches are in order, so
// the last records know; those of one moment stand together.
struct Said {
  int64_t step = 0;
  double tokens_per_second = 0;
};
Said NewestIn(const v1::RecordBatch& batch) {
  constexpr int kLook = 16;
  Said said;
  for (int i = batch.records_size() - 1; i >= std::max(0, batch.records_size() - kLook); --i) {
    if (!batch.records(i).has_point()) continue;
    const v1::Point& point = batch.records(i).point();
    said.step = std::max(said.step, point.step());
    if (said.tokens_per_second == 0 && point.series() == "tokens_per_second" && !point.is_null()) {
      said.tokens_per_second = point.value();
    }
  }
  return said;
}

}  // namespace

Dispatch::Dispatch(const DispatchOptions& options, ChangeFeed& feed)
    : options_(options),
      lease_ns_(options.lease_ms * kMs),
      feed_(feed),
      view_(options.lease_ms * kMs) {}

void Dispatch::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (ticker_.joinable()) ticker_.join();
}

void Dispatch::Committed(absl::Span<const store::RunRow> rows) {
  if (!rows.empty()) {
    const int64_t now_ns = options_.clock->BootNanos();
    MutexLock lock(mutex_);
    for (const store::RunRow& row : rows) view_.Put(row, now_ns);
  }
  feed_.Announce();
}

absl::Status Dispatch::Start(store::Store& store) {
  store_ = &store;
  const int64_t now_ns = options_.clock->BootNanos();
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::RunRow> rows, store.OpenRuns());
  int leased = 0;
  {
    MutexLock lock(mutex_);
    for (const store::RunRow& row : rows) {
      view_.Put(row, now_ns);
      if (row.run.state() != v1::LEASED) continue;
      ++leased;
      grace_agents_.insert(row.attempt->agent_id);
    }
    grace_until_ns_ = now_ns + lease_ns_;
  }
  if (leased > 0) {
    ALLO_RETURN_IF_ERROR(store.AddEvent(
        0, 0,
        absl::StrFormat("the coordinator started again; %d running attempts have %.1f s to report",
                        leased, static_cast<double>(options_.lease_ms) / 1000)));
  }
  ticker_ = std::thread([this] { TickUntilStopped(); });
  return absl::OkStatus();
}

// --- Agents
// ---------------------------------------------------------------------------------------

std::vector<std::string> Dispatch::LiveAgents(const std::string& but, int64_t now_ns) const {
  MutexLock lock(mutex_);
  std::set<std::string> live;
  if (now_ns < grace_until_ns_) live = grace_agents_;
  for (const auto& [agent_id, agent] : view_.agents()) live.insert(agent_id);
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
  return response;
}

absl::StatusOr<v1::HeartbeatResponse> Dispatch::Heartbeat(const v1::HeartbeatRequest& request) {
  if (request.held_size() > kMaxHeld || request.free_slots_size() > kMaxSlots) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a heartbeat lists at most %d attempts and %d free slots", kMaxHeld, kMaxSlots));
  }
  const int64_t now_ns = options_.clock->BootNanos();
  bool other_datasets = false;
  {
    MutexLock lock(mutex_);
    if (view_.FindAgent(request.agent_id()) == nullptr) {
      return absl::NotFoundError(absl::StrFormat(
          "agent '%s' is not registered, or was silent for a lease: register", request.agent_id()));
    }
    other_datasets = view_.Heard(request, now_ns);
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
  v1::HeartbeatResponse response = WhatToHold(request, now_ns);
  const absl::Status named = NameDeletable(request.agent_id(), now_ns, response);
  // What holds leases must not wait for what frees disks.
  if (!named.ok()) LogOnce(absl::StrCat("old checkpoints stay for now: ", named.message()));
  return response;
}

std::vector<v1::Lease> Dispatch::RenewHeld(const v1::HeartbeatRequest& request, int64_t now_ns) {
  std::vector<v1::Lease> returning;
  MutexLock lock(mutex_);
  for (const v1::HeldAttempt& held : request.held()) {
    // An end that is being written cannot be called back: it is undone after it is done.
    while (expiring_.count(held.lease().token()) > 0) changed_.Wait(lock);
    switch (view_.StandingOf(held.lease(), request.agent_id())) {
      case Standing::kLeased:
        view_.Renew(held.lease(), now_ns);
        break;
      case Standing::kMayReturn:
        returning.push_back(held.lease());
        break;
      case Standing::kDelivers:
      case Standing::kGone:
        break;
    }
  }
  return returning;
}

v1::HeartbeatResponse Dispatch::WhatToHold(const v1::HeartbeatRequest& request,
                                           int64_t now_ns) const {
  v1::HeartbeatResponse response;
  std::set<std::string> listed;
  MutexLock lock(mutex_);
  for (const v1::HeldAttempt& held : request.held()) {
    listed.insert(held.lease().token());
    if (view_.StandingOf(held.lease(), request.agent_id()) != Standing::kDelivers) continue;
    v1::Hold* hold = response.add_hold();
    *hold->mutable_lease() = held.lease();
    hold->set_lease_ms(options_.lease_ms);
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
    hold->set_preempt(attempt.stop == store::StopAsked::kPreempt);
    hold->set_cancel(attempt.stop == store::StopAsked::kCancel);
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
  std::vector<std::string> gone;
  {
    MutexLock lock(mutex_);
    KnownAgent* agent = view_.FindAgent(agent_id);
    if (agent == nullptr) return absl::OkStatus();
    std::map<std::string, int> named;
    for (const std::string& path : paths) {
      response.add_deletable_checkpoints(path);
      const int times = agent->named_so_far[path] + 1;
      if (times >= kNamings) {
        gone.push_back(path);
      } else {
        named[path] = times;
      }
    }
    agent->named_so_far = std::move(named);
  }
  return gone.empty() ? absl::OkStatus() : store_->CheckpointsDeleted(root_id, gone);
}

// --- Decisions
// ------------------------------------------------------------------------------------

void Dispatch::Decide() {
  {
    MutexLock lock(mutex_);
    if (deciding_) return;  // that thread looks again before it ends
    deciding_ = true;
  }
  for (;;) {
    scheduler::Decision decision;
    {
      MutexLock lock(mutex_);
      if (!view_.TakeDirty()) {
        deciding_ = false;
        return;
      }
      decision = view_.Decide(options_.clock->BootNanos());
    }
    feed_.Announce();  // waiting runs may have other reasons now
    if (!StartAttempts(decision.assignments)) {
      MutexLock lock(mutex_);
      view_.MarkDirty();  // the next tick tries again
      deciding_ = false;
      return;
    }
  }
}

bool Dispatch::StartAttempts(const std::vector<scheduler::Assignment>& assignments) {
  for (const scheduler::Assignment& assignment : assignments) {
    const auto started =
        store_->StartAttempt(assignment.run_id, assignment.agent_id, assignment.slots);
    if (started.ok()) continue;
    const absl::Status& status = started.status();
    // The rows are ahead of the view that was decided on; what changed them has made it dirty.
    if (absl::IsFailedPrecondition(status) || absl::IsNotFound(status)) continue;
    LogOnce(absl::StrFormat("run %d cannot start: %s", assignment.run_id, status.message()));
    return false;
  }
  return true;
}

// --- Time
// -----------------------------------------------------------------------------------------

void Dispatch::TickUntilStopped() {
  const auto every =
      std::chrono::milliseconds(std::clamp<int64_t>(options_.heartbeat_ms / 2, 5, 500));
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) changed_.WaitFor(lock, every);
      if (stopping_) return;
    }
    Tick();
  }
}

void Dispatch::Tick() {
  const int64_t now_ns = options_.clock->BootNanos();
  ExpireLeases(now_ns);
  ForgetSilentAgents(now_ns);
  {
    MutexLock lock(mutex_);
    view_.RefreshDurations();
  }
  Decide();
}

void Dispatch::ExpireLeases(int64_t now_ns) {
  std::vector<v1::Lease> expired;
  {
    MutexLock lock(mutex_);
    expired = view_.Expired(now_ns);
    for (const v1::Lease& lease : expired) expiring_.insert(lease.token());
  }
  if (expired.empty()) return;
  for (const v1::Lease& lease : expired) {
    const absl::Status status = store_->ExpireLease(lease);
    if (!status.ok() && !absl::IsFailedPrecondition(status)) {
      LogOnce(absl::StrFormat("the lease of run %d attempt %d ran out and cannot be ended now: %s",
                              lease.run_id(), lease.attempt(), status.message()));
    }
  }
  MutexLock lock(mutex_);
  expiring_.clear();
  changed_.NotifyAll();
}

void Dispatch::ForgetSilentAgents(int64_t now_ns) {
  std::vector<std::string> notices;
  {
    MutexLock lock(mutex_);
    for (const std::string& agent_id : view_.SilentSince(now_ns - lease_ns_)) {
      notices.push_back(absl::StrFormat("the worker on %s was not heard for %.1f s",
                                        view_.FindAgent(agent_id)->host,
                                        static_cast<double>(options_.lease_ms) / 1000));
      view_.RemoveAgent(agent_id);
    }
  }
  for (const std::string& notice : notices) {
    LogOnce(notice);
    const absl::Status added = store_->AddEvent(0, 0, notice);
    if (!added.ok()) LogOnce(absl::StrCat("a notice was not stored: ", added.message()));
  }
}

void Dispatch::LogOnce(const std::string& line) {
  MutexLock lock(mutex_);
  if (line == last_line_) return;
  last_line_ = line;
  std::cerr << "allo-coordinator: " << line << std::endl;
}

// --- What was learnt
// ------------------------------------------------------------------------------

void Dispatch::Append(v1::RecordBatch batch,
                      std::function<void(absl::StatusOr<v1::RecordAck>)> done) {
  const Said said = NewestIn(batch);
  store_->Append(std::move(batch),
                 [this, said, done = std::move(done)](absl::StatusOr<v1::RecordAck> ack) {
                   if (ack.ok() && !ack->stale()) {
                     MutexLock lock(mutex_);
                     view_.Progress(ack->lease(), said.step, said.tokens_per_second);
                   }
                   done(std::move(ack));
                 });
}

void Dispatch::AddReasons(google::protobuf::RepeatedPtrField<v1::Run>& runs) const {
  MutexLock lock(mutex_);
  for (v1::Run& run : runs) {
    if (run.state() != v1::PENDING) continue;
    const std::string waits = view_.WaitingReason(run.run_id());
    if (waits.empty()) continue;
    run.set_reason(run.reason().empty() ? waits : absl::StrCat(waits, " (", run.reason(), ")"));
  }
}

v1::ListWorkersResponse Dispatch::ListWorkers() const {
  v1::ListWorkersResponse response;
  {
    MutexLock lock(mutex_);
    for (const auto& [agent_id, agent] : view_.agents()) {
      v1::Worker* worker = response.add_workers();
      worker->set_host(agent.host);
      worker->mutable_slots()->Add(agent.slots.begin(), agent.slots.end());
      for (const v1::Slot& slot : agent.free_slots) {
        if (!view_.IsHeld(agent_id, slot)) *worker->add_free_slots() = slot;
      }
      worker->mutable_datasets()->Add(agent.datasets.begin(), agent.datasets.end());
      worker->set_version(agent.version);
    }
    for (const planner::ThroughputSample& sample : view_.throughput().samples()) {
      v1::MeasuredPace* pace = response.add_pace();
      pace->set_params(sample.params);
      pace->set_flops_per_s(sample.flops_per_s);
    }
  }
  std::sort(response.mutable_workers()->begin(), response.mutable_workers()->end(),
            [](const v1::Worker& a, const v1::Worker& b) { return a.host() < b.host(); });
  return response;
}

double Dispatch::EtaSeconds(const google::protobuf::RepeatedPtrField<v1::Run>& runs,
                            const std::string& flops_convention) const {
  std::vector<planner::OpenRun> open;
  for (const v1::Run& run : runs) {
    if (run.state() != v1::PENDING && run.state() != v1::LEASED) continue;
    planner::OpenRun& one = open.emplace_back();
    one.params = static_cast<double>(run.n_params());
    one.flops_left = planner::RemainingFlops(run, flops_convention);
    one.ranks = std::max(1, run.spec().ranks());
    one.running = run.state() == v1::LEASED;
    if (one.running) {
      one.flops_per_s = run.tokens_per_second() * planner::FlopsPerToken(run, flops_convention);
    }
  }
  planner::Throughput throughput;
  int slots = 0;
  {
    MutexLock lock(mutex_);
    throughput = view_.throughput();
    slots = view_.LiveSlots();
  }
  return planner::EstimateEta(open, slots, throughput).value_or(-1);
}

}  // namespace allometry::coordinator
