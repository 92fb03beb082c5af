#include "worker/agent/attempt_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "worker/agent/log.h"
#include "worker/agent/reconcile.h"
#include "worker/agent/record_conversion.h"
#include "worker/launch/descendants.h"
#include "worker/launch/processes.h"

namespace allometry::agent {
namespace {

constexpr int64_t kTermGraceMs = 2'000;
constexpr int64_t kKillPatienceMs = 30'000;
constexpr int64_t kAskLostAgainMs = 60'000;

void LogEnd(const Attempt& attempt) {
  const std::string name = LeaseName(attempt.lease());
  if (!attempt.delivery().has_exit()) {
    LogLine(absl::StrCat(name, ": ended and forgotten"));
    return;
  }
  const run::ExitRecord& exit = attempt.delivery().exit();
  // What follows the first line is the end of the trainer's own log.
  const std::string message = exit.message.substr(0, exit.message.find('\n'));
  LogLine(absl::StrCat(name, ": ", run::ExitReasonName(exit.reason), " at step ", exit.step,
                       message.empty() ? "" : ": ", message));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttemptTable>> AttemptTable::Open(const std::string& state_dir,
                                                                 const std::string& run_root,
                                                                 AttemptSettings settings) {
  ALLO_ASSIGN_OR_RETURN(StateDir state, StateDir::Open(state_dir));
  ALLO_ASSIGN_OR_RETURN(std::vector<Lease> given_back, state.ReadHeld());
  ALLO_ASSIGN_OR_RETURN(RunRoot root, RunRoot::Open(run_root));
  // Long enough for a person to look why they were replaced.
  root.RemoveReplaced(/*older_than_s=*/7 * 24 * 3600);
  return std::unique_ptr<AttemptTable>(new AttemptTable(
      std::move(state), std::move(root), std::move(given_back), std::move(settings)));
}

AttemptTable::AttemptTable(StateDir state, RunRoot root, std::vector<Lease> given_back,
                           AttemptSettings settings)
    : state_(std::move(state)),
      root_(std::move(root)),
      settings_(std::move(settings)),
      given_back_(std::move(given_back)) {
  context_.run_root = &root_;
  context_.oom_kills = &oom_kills_;
  context_.agent_id = state_.agent_id();
  context_.data_dir = settings_.data_dir;
  context_.trainers = settings_.trainers;
  context_.supervisor = settings_.supervisor;
  context_.launcher = settings_.launcher;
  context_.launch_settings = settings_.launch_settings;
  context_.hosts = settings_.hosts;
  context_.commands = settings_.commands;
  context_.stall = settings_.stall;
}

AttemptTable::~AttemptTable() = default;

absl::Status AttemptTable::EndLeftovers() const {
  const std::string mark = AgentMark(state_.agent_id());
  if (const size_t left = launch::ProcessesWithEnvironment(mark).size(); left > 0) {
    LogLine(absl::StrCat("ending ", left, " processes that an earlier life of this agent left"));
  }
  return launch::EndProcessesWithEnvironment(mark, kTermGraceMs, kKillPatienceMs);
}

void AttemptTable::ForgetGivenBack() {
  if (given_back_.empty()) return;
  LogLine(absl::StrCat("gave back ", given_back_.size(), " attempts of an earlier life"));
  given_back_.clear();
  if (const absl::Status saved = SaveHeld({}); !saved.ok()) LogLine(saved.message());
}

void AttemptTable::GoBack(const v1::HeartbeatResponse& reply) {
  for (const v1::Hold& hold : reply.hold()) {
    const auto found = attempts_.find(FromProto(hold.lease()));
    if (found == attempts_.end() || found->second->dropped()) continue;
    const uint64_t acknowledged = found->second->delivery().acknowledged();
    if (hold.durable_sequence() >= acknowledged) continue;
    LogLine(absl::StrFormat("%s: sent again from record %d: the coordinator said that it had %d",
                            LeaseName(found->first), hold.durable_sequence() + 1, acknowledged));
    Acknowledge(*found->second, hold.durable_sequence());
  }
}

void AttemptTable::Apply(const v1::HeartbeatResponse& reply, int64_t asked_ns, bool may_start) {
  std::vector<Held> held;
  for (const auto& [lease, attempt] : attempts_) held.push_back(attempt->AsHeld());
  const Actions actions = Reconcile(held, reply);
  for (const v1::Hold& hold : reply.hold()) {
    const auto found = attempts_.find(FromProto(hold.lease()));
    if (found != attempts_.end()) found->second->SendLog(hold.send_log());
  }
  const int64_t now_ns = Clock::Real().BootNanos();
  const auto stop_by_ns = [&](const Stop& stop) {
    return now_ns + (stop.within_ms > 0 ? stop.within_ms : settings_.stop_within_ms) * 1'000'000;
  };
  for (const Lease& lease : actions.drop) {
    Attempt& attempt = *attempts_.at(lease);
    // One that has ended is dropped because the coordinator has its exit record.
    if (!attempt.delivery().has_exit()) {
      LogLine(absl::StrCat(LeaseName(lease), ": the coordinator holds it no longer"));
    }
    attempt.Drop();
  }
  for (const Renewal& renewal : actions.renew) {
    attempts_.at(renewal.lease)->Renew(asked_ns, asked_ns + renewal.lease_ms * 1'000'000);
  }
  for (const Stop& stop : actions.preempt) {
    attempts_.at(stop.lease)->Preempt(stop_by_ns(stop), stop.within_ms);
  }
  for (const Stop& stop : actions.cancel) {
    attempts_.at(stop.lease)->Cancel(stop_by_ns(stop), stop.within_ms);
  }
  if (may_start && !actions.start.empty()) Start(actions.start, asked_ns);
  DeleteNamed(reply);
}

void AttemptTable::DeleteNamed(const v1::HeartbeatResponse& reply) {
  for (const std::string& checkpoint : reply.deletable_checkpoints()) {
    const absl::Status deleted = root_.DeleteCheckpoint(checkpoint);
    if (deleted.ok()) {
      deleted_.insert(checkpoint);
    } else {
      LogLine(absl::StrCat("not deleted: ", deleted.message()));
    }
  }
  for (const v1::DeletableRun& run : reply.deletable_runs()) {
    // Its processes may still write there; it is named again.
    if (std::any_of(attempts_.begin(), attempts_.end(),
                    [&](const auto& entry) { return entry.first.run_id == run.run_id(); })) {
      continue;
    }
    const absl::Status deleted = root_.DeleteRun(run.run_id(), run.run_key());
    if (!deleted.ok()) LogLine(absl::StrCat("not deleted: ", deleted.message()));
    if (deleted.ok() || absl::IsFailedPrecondition(deleted)) {
      deleted_runs_.insert(run.run_id());
    }
  }
}

void AttemptTable::Start(const std::vector<v1::Hold>& holds, int64_t asked_ns) {
  if (const absl::Status saved = SaveHeld(holds); !saved.ok()) {
    // Not held, so the coordinator offers them again.
    LogLine(absl::StrCat("nothing is started: ", saved.message()));
    return;
  }
  for (const v1::Hold& hold : holds) {
    attempts_.emplace(
        FromProto(hold.lease()),
        Attempt::Start(context_, hold, asked_ns, asked_ns + hold.lease_ms() * 1'000'000));
  }
}

bool AttemptTable::Poll(int64_t now_ns) {
  bool changed = false;
  bool forgotten = false;
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    Attempt& attempt = *it->second;
    const bool was_running = attempt.running();
    attempt.Poll(now_ns);
    changed |= was_running && !attempt.running();
    if (std::optional<SuspiciousEnd> bad = attempt.TakeSuspiciousEnd(); bad.has_value())
      suspicious_end_ = bad;
    for (const std::string& host : attempt.TakeLostHosts()) {
      lost_hosts_[host] = now_ns + kAskLostAgainMs * 1'000'000;
      LogLine(absl::StrCat(host, " does not answer: it gets no runs"));
    }
    if (attempt.finished()) {
      LogEnd(attempt);
      it = attempts_.erase(it);
      forgotten = true;
    } else {
      ++it;
    }
  }
  // An attempt's orphans come to this process where mpirun, srun or a supervisor was killed.
  if (changed || forgotten || ends_adopted_) {
    ends_adopted_ = launch::EndAdopted(TrainerProcess::Children(), settings_.ends_orphans) > 0;
  }
  if (forgotten) {
    if (const absl::Status saved = SaveHeld({}); !saved.ok()) LogLine(saved.message());
  }
  changed |= AskLostHosts(now_ns);
  return changed || forgotten;
}

bool AttemptTable::AskLostHosts(int64_t now_ns) {
  if (return_probe_ == nullptr) {
    std::vector<std::string> due;
    for (auto& [host, again_ns] : lost_hosts_) {
      if (now_ns < again_ns) continue;
      again_ns = now_ns + kAskLostAgainMs * 1'000'000;
      due.push_back(host);
    }
    if (!due.empty()) return_probe_ = HostProbe::Start(context_, due);
    return false;
  }
  if (!return_probe_->Done(now_ns)) return false;
  const std::vector<std::string> back = return_probe_->answered();
  return_probe_.reset();
  for (const std::string& host : back) {
    LogLine(absl::StrCat(host, " answers again"));
    lost_hosts_.erase(host);
  }
  return !back.empty();
}

void AttemptTable::PreemptAll(int64_t stop_by_ns) {
  for (auto& [lease, attempt] : attempts_) {
    if (attempt->running() && !attempt->dropped()) attempt->Preempt(stop_by_ns, 0);
  }
}

void AttemptTable::KillAll() {
  for (auto& [lease, attempt] : attempts_) attempt->Kill();
}

const v1::RecordBatch* AttemptTable::NextBatch() {
  auto it = attempts_.upper_bound(last_sent_);
  for (size_t i = 0; i < attempts_.size(); ++i, ++it) {
    if (it == attempts_.end()) it = attempts_.begin();
    if (const v1::RecordBatch* batch = it->second->NextBatch()) {
      last_sent_ = it->first;
      return batch;
    }
  }
  return nullptr;
}

void AttemptTable::Acknowledge(const v1::RecordAck& ack) {
  const auto found = attempts_.find(FromProto(ack.lease()));
  if (found == attempts_.end() || found->second->dropped()) return;
  Attempt& attempt = *found->second;
  const std::string name = LeaseName(attempt.lease());
  for (const v1::SetAside& record : ack.set_aside()) {
    LogLine(
        absl::StrCat(name, ": record ", record.sequence(), " was set aside: ", record.reason()));
  }
  if (ack.stale()) {
    LogLine(absl::StrCat(name, ": its lease was given away: ", ack.message()));
    attempt.Drop();
  } else {
    Acknowledge(attempt, ack.durable_sequence());
  }
}

void AttemptTable::Acknowledge(Attempt& attempt, uint64_t durable_sequence) {
  const absl::Status taken = attempt.delivery().Acknowledge(durable_sequence);
  if (taken.ok()) return;
  // Its lease runs out, and another attempt does it again.
  LogLine(
      absl::StrCat(LeaseName(attempt.lease()),
                   ": the coordinator's database went back and the spool cannot be sent again: ",
                   taken.message()));
  attempt.Drop();
}

void AttemptTable::Rewind() {
  for (auto& [lease, attempt] : attempts_) attempt->delivery().Rewind();
}

std::vector<v1::HeldAttempt> AttemptTable::HeldAttempts() const {
  std::vector<v1::HeldAttempt> held;
  for (const auto& [lease, attempt] : attempts_) {
    if (attempt->dropped()) continue;
    v1::HeldAttempt& entry = held.emplace_back();
    *entry.mutable_lease() = ToProto(lease);
    entry.set_last_sequence(attempt->delivery().last_sequence());
    entry.set_ended(attempt->ended());
    entry.set_log_tail(attempt->LogToSend());
  }
  return held;
}

std::vector<HostDevice> AttemptTable::FreeDevices() const {
  std::map<HostDevice, int> running;
  std::set<HostDevice> taken;  // by a rank of several, which shares with nobody
  for (const auto& [lease, attempt] : attempts_) {
    if (!attempt->running()) continue;
    const std::vector<HostDevice> devices = attempt->AsHeld().devices;
    for (const HostDevice& device : devices) {
      ++running[device];
      if (devices.size() > 1) taken.insert(device);
    }
  }
  std::vector<HostDevice> free;
  for (const Host& host : settings_.hosts) {
    if (lost_hosts_.count(host.name) > 0) continue;
    for (const std::string& name : host.devices) {
      const HostDevice device{host.name, name};
      if (running[device] < settings_.runs_per_device && taken.count(device) == 0) {
        free.push_back(device);
      }
    }
  }
  return free;
}

void AttemptTable::ReportDeleted(v1::HeartbeatRequest& request) const {
  request.mutable_deleted_checkpoints()->Assign(deleted_.begin(), deleted_.end());
  for (const int64_t run_id : deleted_runs_) request.add_deleted_runs()->set_run_id(run_id);
}

void AttemptTable::ForgetDeleted(const v1::HeartbeatRequest& told) {
  for (const std::string& checkpoint : told.deleted_checkpoints()) deleted_.erase(checkpoint);
  for (const v1::DeletableRun& run : told.deleted_runs()) deleted_runs_.erase(run.run_id());
}

bool AttemptTable::AnyRunning() const {
  return std::any_of(attempts_.begin(), attempts_.end(),
                     [](const auto& entry) { return entry.second->running(); });
}

absl::Status AttemptTable::SaveHeld(const std::vector<v1::Hold>& about_to_start) const {
  std::vector<Lease> held = given_back_;
  for (const auto& [lease, attempt] : attempts_) held.push_back(lease);
  for (const v1::Hold& hold : about_to_start) held.push_back(FromProto(hold.lease()));
  return state_.WriteHeld(held);
}

}  // namespace allometry::agent
