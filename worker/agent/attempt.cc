#include "worker/agent/attempt.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "run/lease_line.h"
#include "run/run_spec.h"
#include "worker/agent/log.h"
#include "worker/agent/record_conversion.h"
#include "worker/agent/run_spec_conversion.h"
#include "worker/agent/slots.h"

namespace allometry::agent {
namespace {

using run::ExitReason;

constexpr int kLogLines = 20;
// How long a trainer may take to end after its exit record: leaving MPI, freeing memory.
constexpr int64_t kLastStepsNs = 10'000'000'000;

// The reason that fits an attempt that could not be started.
ExitReason ReasonOfStartFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return ExitReason::kDiskFull;
    case absl::StatusCode::kFailedPrecondition:  // the start checkpoint is elsewhere
      return ExitReason::kCheckpoint;
    case absl::StatusCode::kDataLoss:  // the dataset is not as it was verified
      return ExitReason::kData;
    case absl::StatusCode::kOutOfRange:  // a slot that is not ours
      return ExitReason::kDevice;
    default:
      return ExitReason::kBug;
  }
}

// Whether a host can be the cause (coordinator/schedule/after_exit.h asks the same).
bool HostMayBeAtFault(ExitReason reason) {
  switch (reason) {
    case ExitReason::kBug:
    case ExitReason::kData:
    case ExitReason::kDevice:
    case ExitReason::kDiskFull:
    case ExitReason::kEnvironment:
    case ExitReason::kKilled:
    case ExitReason::kStalled:
      return true;
    default:
      return false;
  }
}

std::vector<HostDevice> DevicesOf(const v1::Hold& hold) {
  std::vector<HostDevice> devices;
  for (const v1::Slot& slot : hold.slots()) devices.push_back({slot.host(), slot.device()});
  return devices;
}

// "cpu:0, cpu:1", of several hosts "n1/cpu:0, n2/cpu:0".
std::string DevicesText(const std::vector<HostDevice>& devices, bool with_hosts) {
  return absl::StrJoin(devices, ", ", [&](std::string* out, const HostDevice& device) {
    absl::StrAppend(out, with_hosts ? absl::StrCat(device.host, "/") : "", device.device);
  });
}

}  // namespace

Attempt::Attempt(const AttemptContext& context, const v1::Hold& hold)
    : context_(context),
      lease_(FromProto(hold.lease())),
      devices_(DevicesOf(hold)),
      run_dir_(context.run_root->RunDir(lease_.run_id)),
      attempt_dir_(run::AttemptDir(run_dir_, lease_.attempt)),
      delivery_(lease_, attempt_dir_, context.run_root->id()),
      stall_(context.stall) {}

std::unique_ptr<Attempt> Attempt::Start(const AttemptContext& context, const v1::Hold& hold,
                                        int64_t asked_ns, int64_t deadline_ns) {
  std::unique_ptr<Attempt> attempt(new Attempt(context, hold));
  const std::string name = LeaseName(attempt->lease_);
  if (hold.cancel() || hold.preempt()) {
    attempt->verdict_ = {hold.cancel() ? ExitReason::kCancelledByUser : ExitReason::kPreempted,
                         "told to stop before it was started", 0};
    return attempt;
  }
  if (const absl::Status started = attempt->Launch(hold); !started.ok()) {
    LogLine(absl::StrCat(name, ": cannot be started: ", started.message()));
    attempt->verdict_ = {ReasonOfStartFailure(started), std::string(started.message()), 0};
    const bool is_command = hold.spec().identity().settings().contains("trainer.command");
    if (!is_command && HostMayBeAtFault(attempt->verdict_->reason)) {
      attempt->suspicious_end_ =
          SuspiciousEnd{absl::StrCat(name, " could not be started"), attempt->verdict_->reason};
    }
    return attempt;
  }
  LogLine(absl::StrFormat(
      "%s: started on %s, pid %d, to step %d%s", name,
      DevicesText(attempt->devices_, context.hosts.size() > 1), attempt->process_->pid(),
      hold.spec().steps(),
      hold.spec().has_start() ? absl::StrFormat(" from step %d", hold.spec().start().step()) : ""));
  attempt->Renew(asked_ns, deadline_ns);
  return attempt;
}

absl::Status Attempt::Launch(const v1::Hold& hold) {
  std::string moved_to;
  ALLO_RETURN_IF_ERROR(context_.run_root->MakeAttemptDir(lease_, &moved_to));
  if (!moved_to.empty()) {
    LogLine(absl::StrCat(LeaseName(lease_),
                         ": its folder was there from another sweep's life; moved to ", moved_to));
  }
  if (hold.spec().ranks() != static_cast<int>(devices_.size())) {
    return absl::InvalidArgumentError(absl::StrFormat("%d ranks on %d slots: one slot a rank",
                                                      hold.spec().ranks(), devices_.size()));
  }
  ALLO_ASSIGN_OR_RETURN(std::vector<launch::HostRanks> hosts, PlaceRanks());
  ALLO_ASSIGN_OR_RETURN(run::RunSpec spec,
                        ToRunDirSpec(hold.spec(), lease_.attempt, context_.run_root->id()));
  const bool is_command = !spec.identity.trainer.command.empty();
  if (is_command) {
    ALLO_ASSIGN_OR_RETURN(spec, WithArgs(std::move(spec), run_dir_, context_.data_dir));
  }
  ALLO_RETURN_IF_ERROR(run::WriteRunSpec(run_dir_, spec));

  LaunchRequest request;
  if (context_.check_dataset) {
    ALLO_RETURN_IF_ERROR(context_.check_dataset(hold.spec().identity().dataset()));
  }
  request.trainer = context_.trainers.Of(KindOfSlot(devices_[0].device));
  request.supervisor = context_.supervisor;
  request.run_dir = run_dir_;
  request.data_dir = context_.data_dir;
  request.hosts = std::move(hosts);
  request.launcher = context_.launcher;
  request.settings = context_.launch_settings;
  request.attempt_name = context_.run_root->AttemptName(lease_);
  request.agent_id = context_.agent_id;
  ALLO_ASSIGN_OR_RETURN(const launch::Command command,
                        is_command ? MakeTrainerCommand(spec, request, context_.commands)
                                   : MakeLaunchCommand(request));
  if (is_command) {
    rules_.emplace(spec);
    delivery_.CheckWith([this](const run::Record& record) { return rules_->Check(record); });
  }
  ALLO_ASSIGN_OR_RETURN(process_, TrainerProcess::Start(command, attempt_dir_ + "/log",
                                                        AttemptMark(request.attempt_name)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<launch::HostRanks>> Attempt::PlaceRanks() const {
  std::vector<launch::HostRanks> ranks;
  for (const HostDevice& device : devices_) {
    const auto host = std::find_if(context_.hosts.begin(), context_.hosts.end(),
                                   [&](const Host& own) { return own.name == device.host; });
    if (host == context_.hosts.end() ||
        std::count(host->devices.begin(), host->devices.end(), device.device) == 0) {
      return absl::OutOfRangeError(
          absl::StrCat("slot ", device.host, "/", device.device, " is not one of this agent's"));
    }
    const bool is_next = &device == &devices_.front() || (&device - 1)->host != device.host;
    if (is_next) ranks.push_back({host->launcher_name, host->is_here, {}});
    ranks.back().devices.push_back(device.device);
  }
  return ranks;
}

Held Attempt::AsHeld() const {
  return {lease_, devices_, running(), dropped_, told_preempt_, told_cancel_, told_within_ms_};
}

void Attempt::Renew(int64_t asked_ns, int64_t deadline_ns) {
  asked_ns_ = asked_ns;
  deadline_ns_ = deadline_ns;
  lease_line_pending_ = true;
  SendPendingLines();
}

void Attempt::Preempt(int64_t stop_by_ns, int64_t within_ms) {
  told_preempt_ = true;
  TellToStop("preempt", stop_by_ns, within_ms);
}

void Attempt::Cancel(int64_t stop_by_ns, int64_t within_ms) {
  told_cancel_ = true;
  TellToStop("cancel", stop_by_ns, within_ms);
}

void Attempt::TellToStop(const std::string& word, int64_t stop_by_ns, int64_t within_ms) {
  if (within_ms > 0) told_within_ms_ = std::min(told_within_ms_, within_ms);
  pending_word_ = word;
  stop_by_ns_ = stop_by_ns_ == 0 ? stop_by_ns : std::min(stop_by_ns_, stop_by_ns);
  LogLine(absl::StrFormat("%s: told to stop (%s)%s", LeaseName(lease_), word,
                          within_ms > 0 ? absl::StrFormat(" within %.1f s", within_ms / 1e3) : ""));
  SendPendingLines();
}

void Attempt::Drop() {
  if (dropped_) return;
  dropped_ = true;
  terminate_at_ns_ = Clock::Real().BootNanos() + (delivery_.has_exit() ? kLastStepsNs : 0);
}

void Attempt::Kill() {
  if (process_ != nullptr) process_->Kill();
}

void Attempt::SendPendingLines() {
  if (process_ == nullptr) return;
  if (lease_line_pending_ && process_->WriteLine(run::WriteLeaseLine(asked_ns_, deadline_ns_,
                                                                     Clock::Real().BootNanos()))) {
    lease_line_pending_ = false;
  }
  if (!pending_word_.empty() && process_->WriteLine(pending_word_)) pending_word_.clear();
}

void Attempt::Poll(int64_t now_ns) {
  if (process_ != nullptr) {
    SendPendingLines();
    EnforceDeadlines(now_ns);
    if (process_->Gone()) OnTrainerExit();
  }
  if (probe_ != nullptr && probe_->Done(now_ns)) OnProbed();
  if (running() || dropped_ || delivery_.has_exit()) return;
  absl::StatusOr<bool> at_end = delivery_.AtEnd();
  if (!at_end.ok()) OnDamage(at_end.status());
  if (at_end.value_or(true) && !delivery_.has_exit()) delivery_.AppendExit(*verdict_);
}

void Attempt::EnforceDeadlines(int64_t now_ns) {
  if (dropped_ && now_ns >= terminate_at_ns_) process_->Terminate();
  if (dropped_ || ended_by_ != EndedBy::kItself) return;
  if (now_ns >= deadline_ns_) {
    LogLine(absl::StrCat(LeaseName(lease_), ": its lease ran out; ended"));
    ended_by_ = EndedBy::kLease;
  } else if (stop_by_ns_ != 0 && now_ns >= stop_by_ns_) {
    LogLine(absl::StrCat(LeaseName(lease_), ": did not stop in time; killed"));
    ended_by_ = told_cancel_ ? EndedBy::kCancel : EndedBy::kPreempt;
  } else if (why_ended_ = Stalled(now_ns); !why_ended_.empty()) {
    LogLine(absl::StrCat(LeaseName(lease_), ": stalled: ", why_ended_, "; ended"));
    ended_by_ = EndedBy::kStalled;
  } else {
    return;
  }
  process_->Kill();
}

std::string Attempt::Stalled(int64_t now_ns) {
  // One that was told to stop has a deadline of its own; one that wrote its exit record is ended
  // when the coordinator has it.
  if (stop_by_ns_ != 0 || delivery_.has_exit()) return "";
  struct stat info {};
  const bool there = stat(run::SpoolPath(attempt_dir_).c_str(), &info) == 0;
  return stall_.Observe(now_ns, there ? info.st_size : 0);
}

std::string Attempt::LogToSend() const {
  return sends_log_ ? LogTail(attempt_dir_ + "/log", kLogLines) : "";
}

void Attempt::OnTrainerExit() {
  const int status = process_->wait_status();
  process_.reset();
  if (dropped_) return;
  const bool killed = ended_by_ == EndedBy::kItself && WasKilled(status);
  const bool oom_kill = killed && context_.oom_kills->TakeOne();
  // Whoever tells an allocation to stop may also signal what runs in it.
  if (killed && !oom_kill && told_preempt_) ended_by_ = EndedBy::kPreempt;
  if (killed && !oom_kill && told_cancel_) ended_by_ = EndedBy::kCancel;
  const run::ExitRecord judged =
      JudgeExit(status, ended_by_, oom_kill, LogTail(attempt_dir_ + "/log", kLogLines), why_ended_);
  const bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  if (!verdict_.has_value()) verdict_ = judged;
  if (!failed || (!HostMayBeAtFault(judged.reason) && judged.reason != ExitReason::kNodeLost))
    return;
  // A command's end says nothing of this host's own trainer.
  if (!rules_.has_value()) {
    suspicious_end_ = SuspiciousEnd{
        absl::StrCat(LeaseName(lease_), " ended as ", run::ExitReasonName(judged.reason)),
        judged.reason};
  }
  if (ended_by_ != EndedBy::kItself) return;
  // A host that died looks like a launcher that failed.
  std::vector<std::string> hosts;
  for (const HostDevice& device : devices_) {
    if (hosts.empty() || hosts.back() != device.host) hosts.push_back(device.host);
  }
  probe_ = HostProbe::Start(context_, hosts);
}

void Attempt::OnProbed() {
  lost_hosts_ = probe_->lost();
  probe_.reset();
  if (lost_hosts_.empty()) return;
  const std::string lost = absl::StrJoin(lost_hosts_, ", ");
  LogLine(absl::StrCat(LeaseName(lease_), ": ended, and ", lost, " does not answer"));
  suspicious_end_.reset();
  if (!damaged_) verdict_ = {ExitReason::kNodeLost, absl::StrCat(lost, " does not answer"), 0};
}

void Attempt::OnDamage(const absl::Status& damage) {
  if (damaged_) return;
  damaged_ = true;
  const std::string message = delivery_.refused().has_value()
                                  ? std::string(damage.message())
                                  : absl::StrCat("spool: ", damage.message());
  LogLine(absl::StrCat(LeaseName(lease_), ": ended: ", message));
  verdict_ = delivery_.refused().value_or(run::ExitRecord{ExitReason::kBug, message, 0});
  if (process_ != nullptr) process_->Kill();
}

const v1::RecordBatch* Attempt::NextBatch() {
  // After damage, only the exit record that tells it is left to send.
  if (dropped_ || (damaged_ && !delivery_.has_exit())) return nullptr;
  const absl::StatusOr<const v1::RecordBatch*> batch = delivery_.NextBatch();
  if (batch.ok()) return *batch;
  OnDamage(batch.status());
  return nullptr;
}

}  // namespace allometry::agent
