#include "coordinator/leases/dispatch.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/foreign_text.h"
#include "coordinator/cost/eta.h"
#include "coordinator/schedule/decide.h"

namespace allometry::coordinator {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int64_t kDecideEveryNs = 5'000 * kMs;

// What a batch says about its run: the newest step and the newest pace. Batches are in order, so
// the last records know; those of one moment stand together.
struct BatchProgress {
  int64_t step = 0;
  double tokens_per_second = 0;
};
BatchProgress ProgressOf(const v1::RecordBatch& batch) {
  constexpr int kLook = 16;
  BatchProgress progress;
  for (int i = batch.records_size() - 1; i >= std::max(0, batch.records_size() - kLook); --i) {
    if (!batch.records(i).has_point()) continue;
    const v1::Point& point = batch.records(i).point();
    progress.step = std::max(progress.step, point.step());
    if (progress.tokens_per_second == 0 && point.series() == "tokens_per_second" &&
        !point.is_null()) {
      progress.tokens_per_second = point.value();
    }
  }
  return progress;
}

// An open run as the estimate of a sweep's end reads it.
cost::OpenRun ToOpenRun(const v1::Run& run, run::FlopsConvention convention, double flops_left) {
  cost::OpenRun open;
  open.params = static_cast<double>(run.n_params());
  open.flops_left = flops_left;
  open.ranks = std::max(1, run.spec().ranks());
  open.running = run.state() == v1::LEASED;
  if (open.running) {
    open.flops_per_s = run.tokens_per_second() * cost::FlopsPerToken(run, convention);
  }
  return open;
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
  std::vector<int64_t> run_ids;
  for (const store::RunRow& row : rows) run_ids.push_back(row.run.run_id());
  feed_.Announce(run_ids);
}

absl::Status Dispatch::Start(store::Store& store) {
  store_ = &store;
  const int64_t now_ns = options_.clock->BootNanos();
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::RunRow> rows, store.OpenRuns());
  ALLO_RETURN_IF_ERROR(ReadDrained());
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
  if (options_.ticks_by_itself) ticker_ = std::thread([this] { TickUntilStopped(); });
  return absl::OkStatus();
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
    schedule::Decision decision;
    {
      MutexLock lock(mutex_);
      if (!view_.TakeDirty()) {
        deciding_ = false;
        return;
      }
      decision = view_.Decide(options_.clock->BootNanos(),
                              {.min_run_ns = options_.preempt_after_ms * kMs});
    }
    feed_.Announce();  // waiting runs may have other reasons now
    MakeRoom(decision.preemptions);
    if (!StartAttempts(decision.assignments)) {
      MutexLock lock(mutex_);
      view_.MarkDirty();  // the next tick tries again
      deciding_ = false;
      return;
    }
  }
}

bool Dispatch::StartAttempts(const std::vector<schedule::Assignment>& assignments) {
  for (const schedule::Assignment& assignment : assignments) {
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

void Dispatch::MakeRoom(const std::vector<schedule::Preemption>& preemptions) {
  for (const schedule::Preemption& preemption : preemptions) {
    const absl::Status asked = store_->AskToStop(preemption.run_id, store::StopAsked::kPreempt,
                                                 options_.preempt_within_ms);
    // It has ended meanwhile: then there is room.
    if (absl::IsFailedPrecondition(asked)) continue;
    int64_t sweep_id = 0;
    {
      MutexLock lock(mutex_);
      if (const store::RunRow* row = view_.Find(preemption.run_id)) sweep_id = row->sweep_id;
    }
    const absl::Status told =
        asked.ok() ? store_->AddEvent(sweep_id, preemption.run_id,
                                      absl::StrFormat("run %d is preempted: it %s",
                                                      preemption.run_id, preemption.reason))
                   : asked;
    if (!told.ok()) {
      LogOnce(absl::StrFormat("run %d was not preempted: %s", preemption.run_id, told.message()));
    }
  }
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
  JudgeHosts();
  {
    MutexLock lock(mutex_);
    view_.EndBackoffs(now_ns);
    view_.RefreshDurations();
    // Patience ends and attempts get old enough to make room without any other change.
    if (now_ns >= decide_by_ns_) {
      decide_by_ns_ = now_ns + kDecideEveryNs;
      view_.MarkDirty();
    }
  }
  EnforceLimits();
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
  int64_t lost = 0;
  for (const v1::Lease& lease : expired) {
    const absl::Status status = store_->ExpireLease(lease);
    lost += status.ok();
    if (!status.ok() && !absl::IsFailedPrecondition(status)) {
      LogOnce(absl::StrFormat("the lease of run %d attempt %d ran out and cannot be ended now: %s",
                              lease.run_id(), lease.attempt(), status.message()));
    }
  }
  MutexLock lock(mutex_);
  leases_lost_ += lost;
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
  for (const std::string& notice : notices) Notify(notice);
}

void Dispatch::Notify(const std::string& notice) {
  LogOnce(notice);
  const absl::Status added = store_->AddEvent(0, 0, notice);
  if (!added.ok()) LogOnce(absl::StrCat("a notice was not stored: ", added.message()));
}

void Dispatch::EnforceLimits() {
  schedule::LimitsDecision decision;
  {
    MutexLock lock(mutex_);
    decision = view_.ApplyLimits(options_.clock->UnixMicros());
  }
  for (const auto& [run_id, why] : decision.end) {
    const absl::Status ended = store_->EndEarly(run_id, v1::LIMIT, why);
    if (!ended.ok() && !absl::IsFailedPrecondition(ended)) LimitFailed(run_id, ended);
  }
  for (const auto& [run_id, why] : decision.stop) {
    const absl::Status asked = store_->AskToStop(run_id, store::StopAsked::kPreempt);
    if (absl::IsFailedPrecondition(asked)) continue;  // it ended meanwhile
    if (!asked.ok()) {
      LimitFailed(run_id, asked);
      continue;
    }
    int64_t sweep_id = 0;
    {
      MutexLock lock(mutex_);
      if (const store::RunRow* row = view_.Find(run_id)) sweep_id = row->sweep_id;
    }
    const absl::Status added = store_->AddEvent(
        sweep_id, run_id, absl::StrFormat("run %d is asked to stop: %s", run_id, why));
    if (!added.ok()) LogOnce(absl::StrCat("a notice was not stored: ", added.message()));
  }
}

void Dispatch::LimitFailed(int64_t run_id, const absl::Status& status) {
  LogOnce(absl::StrFormat("run %d is beyond its limit and cannot be stopped now: %s", run_id,
                          status.message()));
}

void Dispatch::LogOnce(const std::string& line) {
  MutexLock lock(mutex_);
  if (line == last_line_) return;
  last_line_ = line;
  std::cerr << "allo-coordinator: " << Printable(line) << std::endl;
}

// --- What was learnt
// ------------------------------------------------------------------------------

void Dispatch::Append(v1::RecordBatch batch,
                      std::function<void(absl::StatusOr<v1::RecordAck>)> done) {
  const BatchProgress progress = ProgressOf(batch);
  store_->Append(std::move(batch),
                 [this, progress, done = std::move(done)](absl::StatusOr<v1::RecordAck> ack) {
                   if (ack.ok() && !ack->stale()) {
                     {
                       MutexLock lock(mutex_);
                       view_.Progress(ack->lease(), progress.step, progress.tokens_per_second);
                     }
                     feed_.Announce({ack->lease().run_id()});
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

DispatchStatistics Dispatch::ReadStatistics() const {
  const int64_t now_ns = options_.clock->BootNanos();
  DispatchStatistics statistics;
  MutexLock lock(mutex_);
  statistics.leases_lost = leases_lost_;
  for (const auto& [agent_id, agent] : view_.agents()) {
    ++statistics.workers;
    statistics.workers_without_work += !view_.WhyNoRuns(agent).empty();
    statistics.slots += static_cast<int64_t>(agent.slots.size());
    for (const v1::Slot& slot : agent.free_slots) {
      statistics.free_slots += view_.RoomBeside(agent_id, slot) > 0;
    }
    statistics.heartbeat_age_s =
        std::max(statistics.heartbeat_age_s, static_cast<double>(now_ns - agent.heard_ns) / 1e9);
  }
  return statistics;
}

std::set<std::string> Dispatch::LiveRunRoots() const {
  MutexLock lock(mutex_);
  std::set<std::string> roots;
  for (const auto& [agent_id, agent] : view_.agents()) roots.insert(agent.run_root_id);
  return roots;
}

v1::ListWorkersResponse Dispatch::ListWorkers() const {
  v1::ListWorkersResponse response;
  {
    MutexLock lock(mutex_);
    std::map<std::string, std::string> away = view_.drained();
    for (const auto& [agent_id, agent] : view_.agents()) {
      v1::Worker* worker = response.add_workers();
      worker->set_drained(view_.HostStatusText(agent));
      away.erase(agent.host);
      worker->set_host(agent.host);
      worker->mutable_slots()->Add(agent.slots.begin(), agent.slots.end());
      for (const v1::Slot& slot : agent.free_slots) {
        const int32_t room = view_.RoomBeside(agent_id, slot);
        if (room == 0) continue;
        *worker->add_free_slots() = slot;
        worker->mutable_free_slots()->rbegin()->set_runs(room);
      }
      worker->mutable_datasets()->Add(agent.datasets.begin(), agent.datasets.end());
      worker->set_version(agent.version);
    }
    for (const auto& [host, why] : away) {
      v1::Worker* worker = response.add_workers();
      worker->set_host(host);
      worker->set_drained(why);
    }
    for (const cost::ThroughputSample& sample : view_.throughput().samples()) {
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
                            run::FlopsConvention convention) const {
  std::vector<cost::OpenRun> open;
  for (const v1::Run& run : runs) {
    if (run.state() != v1::PENDING && run.state() != v1::LEASED) continue;
    open.push_back(ToOpenRun(run, convention, cost::RemainingFlops(run, convention)));
  }
  cost::Throughput throughput;
  int slots = 0;
  {
    MutexLock lock(mutex_);
    throughput = view_.throughput();
    slots = view_.LiveSlots();
  }
  return cost::EstimateEta(open, slots, throughput).value_or(-1);
}

std::map<int64_t, double> Dispatch::EtaSecondsBySweep() const {
  std::map<int64_t, std::vector<cost::OpenRun>> open;
  cost::Throughput throughput;
  int slots = 0;
  {
    MutexLock lock(mutex_);
    throughput = view_.throughput();
    slots = view_.LiveSlots();
    for (const auto& [run_id, state] : view_.state().runs) {
      const store::RunRow& row = *view_.Find(run_id);
      open[row.sweep_id].push_back(ToOpenRun(row.run, row.flops_convention, state.flops_remaining));
    }
  }
  std::map<int64_t, double> eta_s;
  for (const auto& [sweep_id, runs] : open) {
    eta_s[sweep_id] = cost::EstimateEta(runs, slots, throughput).value_or(-1);
  }
  return eta_s;
}

}  // namespace allometry::coordinator
