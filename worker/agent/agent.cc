#include "worker/agent/agent.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/boot_id.h"
#include "base/clock.h"
#include "base/files.h"
#include "worker/agent/log.h"
#include "worker/agent/record_conversion.h"
#include "worker/agent/slot_memory.h"
#include "worker/agent/slots.h"

namespace allometry::agent {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int64_t kTickMs = 50;
constexpr int64_t kSoonMs = 100;  // the least time between two heartbeats
constexpr int64_t kDatasetsEveryMs = 10'000;
constexpr int64_t kVerifyFirstMs = 2'000;
constexpr int64_t kSuspectEveryMs = 600'000;
constexpr int64_t kStreamRetryMs = 500;
constexpr int64_t kCallTimeoutMs = 10'000;
constexpr int64_t kMaxRetryMs = 2'000;
constexpr int64_t kDeliverWithinMs = 5'000;  // after the time to stop, before the agent ends
constexpr int kReconnectAfterFailures = 3;

std::string MachineName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

int64_t Now() { return Clock::Real().BootNanos(); }

// A refusal that does not pass by itself.
bool IsFinal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnauthenticated(status) ||
         absl::IsPermissionDenied(status) || absl::IsUnimplemented(status);
}

bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

// Bytes of each device, where they are known: a GPU's own, a CPU slot's share of its host.
std::map<HostDevice, int64_t> MemoryOf(const std::vector<Host>& hosts) {
  std::map<HostDevice, int64_t> memory;
  for (const Host& host : hosts) {
    const auto cpus =
        std::count_if(host.devices.begin(), host.devices.end(),
                      [](const std::string& device) { return DeviceKind(device) == "cpu"; });
    int64_t bytes = host.memory_bytes;
    if (bytes == 0 && host.is_here) bytes = HostMemoryBytes();
    std::map<std::string, int64_t> gpus;
    if (host.is_here && cpus < static_cast<int64_t>(host.devices.size())) gpus = GpuMemory();
    for (const std::string& device : host.devices) {
      const auto gpu = gpus.find(DeviceIndex(device));
      const bool is_cpu = DeviceKind(device) == "cpu";
      memory[{host.name, device}] = is_cpu ? bytes / cpus : gpu == gpus.end() ? 0 : gpu->second;
    }
  }
  return memory;
}

// Of all hosts.
std::vector<std::string> DevicesOf(const std::vector<Host>& hosts) {
  std::vector<std::string> devices;
  for (const Host& host : hosts) {
    devices.insert(devices.end(), host.devices.begin(), host.devices.end());
  }
  return devices;
}

// "cpu:0, cpu:1", of several hosts "2 slots of n1, 2 slots of n2".
std::string OfferText(const std::vector<Host>& hosts) {
  if (hosts.size() == 1) return absl::StrJoin(hosts.front().devices, ", ");
  return absl::StrJoin(hosts, ", ", [](std::string* out, const Host& host) {
    absl::StrAppend(out, host.devices.size(), " slots of ", host.name);
  });
}

absl::Status CheckTrainers(const AttemptSettings& settings) {
  for (const std::string& device : DevicesOf(settings.hosts)) {
    const bool cuda = DeviceKind(device) == "cuda";
    const std::string& trainer = cuda ? settings.trainer_cuda : settings.trainer;
    if (access(trainer.c_str(), X_OK) != 0) {
      return absl::NotFoundError(absl::StrCat("slot ", device, " needs a trainer, and '", trainer,
                                              "' is not a program: name it with ",
                                              cuda ? "--trainer-cuda" : "--trainer"));
    }
  }
  return absl::OkStatus();
}

// Each program once.
TrainerCheckOptions CheckOf(const AttemptSettings& settings, const AttemptTable& attempts) {
  TrainerCheckOptions options;
  for (const std::string& device : DevicesOf(settings.hosts)) {
    const std::string kind = DeviceKind(device);
    const std::pair<std::string, std::string> trainer = {
        kind, kind == "cuda" ? settings.trainer_cuda : settings.trainer};
    if (std::count(options.trainers.begin(), options.trainers.end(), trainer) == 0) {
      options.trainers.push_back(trainer);
    }
  }
  options.run_root = attempts.run_root().path();
  options.log_path = attempts.state_dir() + "/self-test.log";
  options.agent_id = attempts.agent_id();
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(AgentOptions options) {
  AttemptSettings& settings = options.attempts;
  if (options.host.empty()) options.host = MachineName();
  if (options.host.find_first_of("/ \t\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "host '", options.host, "': a name without slashes and spaces is allowed for --host"));
  }
  settings.hosts = std::move(options.hosts);
  if (settings.hosts.empty()) {
    settings.hosts = {{options.host, options.launcher_name, true, options.devices, 0}};
  }
  if (DevicesOf(settings.hosts).empty()) {
    return absl::InvalidArgumentError("no slots: name some with --slots");
  }
  // Trainers are started, and read data, from wherever mpirun puts them.
  for (std::string* path : {&settings.trainer, &settings.trainer_cuda, &settings.data_dir}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
  }
  ALLO_RETURN_IF_ERROR(CheckTrainers(settings));
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorLink> link,
                        CoordinatorLink::Create(options.link, options.coordinator_file));
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<AttemptTable> attempts,
                        AttemptTable::Open(options.state_dir, options.run_root, settings));
  return std::unique_ptr<Agent>(
      new Agent(std::move(options), std::move(attempts), std::move(link)));
}

Agent::Agent(AgentOptions options, std::unique_ptr<AttemptTable> attempts,
             std::unique_ptr<CoordinatorLink> link)
    : options_(std::move(options)),
      host_(options_.host),
      boot_id_(BootId()),
      life_(RandomHex128()),
      attempts_(std::move(attempts)),
      memory_(MemoryOf(options_.attempts.hosts)),
      datasets_(options_.attempts.data_dir, attempts_->state_dir() + "/verified.json"),
      trainers_(CheckOf(options_.attempts, *attempts_)),
      link_(std::move(link)) {
  attempts_->CheckDatasetsWith(
      [this](const std::string& name) { return datasets_.CheckUnchanged(name); });
}

Agent::~Agent() = default;

absl::Status Agent::Run(const std::atomic<int>& stop_signals) {
  // A trainer that ended while its lease line was on the way must not end the agent.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  ALLO_RETURN_IF_ERROR(attempts_->EndLeftovers());
  const int64_t started_ns = Now();
  LogLine(absl::StrFormat("agent %s on %s offers %s to coordinator %s; run root %s",
                          attempts_->agent_id(), host_, OfferText(options_.attempts.hosts),
                          link_->address(), attempts_->run_root().path()));
  if (const std::string proxy = transport::ProxyNote(options_.link); !proxy.empty()) {
    LogLine(absl::StrCat("the coordinator is reached ", proxy));
  }
  // Small datasets are in the first registration then.
  for (RefreshDatasets(Now()); datasets_.verifying() && stop_signals.load() == 0;) {
    if (datasets_.Poll()) {
      datasets_due_ns_ = 0;
      RefreshDatasets(Now());
    }
    if (Now() - started_ns > kVerifyFirstMs * kMs) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (;;) {
    const int64_t now_ns = Now();
    ObserveStop(std::max(stop_signals.load(), IsIdleTooLong(now_ns) ? 1 : 0), now_ns);
    if (stop_signals_ > 1) {
      attempts_->KillAll();
      return absl::AbortedError("told to stop twice: trainers were killed");
    }
    if (attempts_->Poll(now_ns)) HeartbeatSoon();
    CheckHost(now_ns);
    SendRecords(now_ns);
    CallCoordinator(now_ns);
    if (!fatal_.ok()) return fatal_;
    if (stop_signals_ > 0 && MayEnd(now_ns)) break;
    link_->WaitAndDispatch(kTickMs);
  }
  if (attempts_->size() > 0) {
    LogLine(absl::StrCat(attempts_->size(),
                         " attempts could not be delivered: the next start gives them back"));
  }
  LogLine("stopped");
  return absl::OkStatus();
}

void Agent::CheckHost(int64_t now_ns) {
  if (const auto bad_end = attempts_->TakeSuspiciousEnd(); bad_end.has_value()) {
    trainers_.Ask(absl::StrCat("its trainer is checked again, because ", bad_end->what));
    // To read a terabyte after every end would keep the host from working.
    if (bad_end->reason == run::ExitReason::kData || now_ns >= suspect_again_ns_) {
      suspect_again_ns_ = now_ns + kSuspectEveryMs * kMs;
      datasets_.Suspect();
      datasets_due_ns_ = now_ns;
      RefreshDatasets(now_ns);
    }
  }
  if (datasets_.Poll()) {
    datasets_due_ns_ = now_ns;
    HeartbeatSoon();
  }
  trainers_.Poll(now_ns);
  if (trainers_.problem() == last_problem_) return;
  last_problem_ = trainers_.problem();
  LogLine(last_problem_.empty() ? "takes runs" : absl::StrCat("takes no runs: ", last_problem_));
  HeartbeatSoon();
}

void Agent::ObserveStop(int stop_signals, int64_t now_ns) {
  if (stop_signals == stop_signals_) return;
  const bool first = stop_signals_ == 0;
  stop_signals_ = stop_signals;
  if (!first) return;
  LogLine(IsIdleTooLong(now_ns)
              ? absl::StrFormat("stopping: it had no attempt for %.0f s (--idle-exit)",
                                static_cast<double>(options_.idle_exit_ms) / 1e3)
              : absl::StrCat("stopping: ", attempts_->size(), " attempts write their checkpoints"));
  stop_by_ns_ = now_ns + options_.attempts.stop_within_ms * kMs;
  attempts_->PreemptAll(stop_by_ns_);
  next_call_ns_ = now_ns;
}

bool Agent::IsIdleTooLong(int64_t now_ns) {
  if (options_.idle_exit_ms == 0) return false;
  if (busy_ns_ == 0 || attempts_->size() > 0) busy_ns_ = now_ns;
  return now_ns - busy_ns_ >= options_.idle_exit_ms * kMs;
}

bool Agent::MayEnd(int64_t now_ns) const {
  if (attempts_->AnyRunning()) return false;
  if (now_ns >= stop_by_ns_ + kDeliverWithinMs * kMs) return true;
  if (attempts_->size() > 0) return false;
  // The coordinator should not give a run to an agent that is no more.
  return final_heartbeat_answered_ || away_since_ns_ != 0 || !registered_;
}

void Agent::SendRecords(int64_t now_ns) {
  if (!link_->has_stream() && registered_ && away_since_ns_ == 0 && now_ns >= next_stream_ns_) {
    link_->OpenStream([this](const v1::RecordAck& ack) { attempts_->Acknowledge(ack); },
                      [this](const absl::Status& status) { OnStreamClosed(status); });
  }
  if (!link_->writable()) return;
  if (const v1::RecordBatch* batch = attempts_->NextBatch()) link_->Send(*batch);
}

void Agent::OnStreamClosed(const absl::Status& status) {
  attempts_->Rewind();
  next_stream_ns_ = Now() + kStreamRetryMs * kMs;
  if (!status.ok() && !IsAway(status)) {
    LogOnce(absl::StrCat("the coordinator closed the stream: ", status.message()));
  }
}

void Agent::CallCoordinator(int64_t now_ns) {
  if (call_in_flight_ || now_ns < next_call_ns_) return;
  call_in_flight_ = true;
  last_asked_ns_ = now_ns;
  RefreshDatasets(now_ns);
  if (registered_) {
    StartHeartbeat();
  } else {
    StartRegister();
  }
}

void Agent::RefreshDatasets(int64_t now_ns) {
  if (now_ns < datasets_due_ns_) return;
  datasets_due_ns_ = now_ns + kDatasetsEveryMs * kMs;
  // Twice in a row: a mount may come and go.
  const absl::Status root = attempts_->run_root().Check();
  if (!root.ok() && root_is_gone_) fatal_ = root;
  root_is_gone_ = !root.ok();
  if (const absl::Status read = datasets_.Refresh(); !read.ok()) {
    // A worker of generated datasets alone has no folder: said once, also where the coordinator is
    // heard in between.
    if (data_dir_error_ != read.message()) {
      data_dir_error_ = std::string(read.message());
      LogLine(absl::StrCat("offers no datasets of its data dir: ", data_dir_error_));
    }
    return;
  }
  data_dir_error_.clear();
  if (datasets_.refused() == refused_datasets_) return;
  refused_datasets_ = datasets_.refused();
  for (const std::string& line : refused_datasets_) LogLine(line);
}

void Agent::StartRegister() {
  v1::RegisterRequest request;
  request.set_agent_id(attempts_->agent_id());
  request.set_agent_secret(attempts_->state().agent_secret());
  request.set_boot_id(boot_id_);
  request.set_start(attempts_->state().start());
  request.set_life(life_);
  request.set_host(host_);
  request.set_run_root_id(attempts_->run_root().id());
  request.set_version(kVersion);
  request.set_problem(trainers_.problem());
  request.set_runs_commands(options_.attempts.commands.allowed);
  for (const Host& host : options_.attempts.hosts) {
    for (const std::string& device : host.devices) {
      *request.add_slots() = SlotOf({host.name, device});
    }
  }
  request.mutable_datasets()->Assign(datasets_.offered().begin(), datasets_.offered().end());
  for (const Lease& lease : attempts_->given_back()) {
    v1::GivenBack& given_back = *request.add_given_back();
    *given_back.mutable_lease() = ToProto(lease);
    given_back.set_reason(v1::AGENT_LOST);
    given_back.set_message("its agent ended before the attempt did");
  }
  link_->Register(request, kCallTimeoutMs,
                  [this](const absl::Status& status, const v1::RegisterResponse& response) {
                    OnRegistered(status, response);
                  });
}

void Agent::OnRegistered(const absl::Status& status, const v1::RegisterResponse& response) {
  call_in_flight_ = false;
  if (!status.ok()) {
    if (IsFinal(status) && !ever_registered_) {
      fatal_ = Annotate(status, absl::StrCat("coordinator ", link_->address()));
      return;
    }
    OnFailure(status);
    return;
  }
  OnAnswer();
  registered_ = true;
  ever_registered_ = true;
  link_->SetSession(response.session());
  database_is_other_ = !incarnation_.empty() && incarnation_ != response.incarnation();
  incarnation_ = response.incarnation();
  lease_ms_ = response.lease_ms();
  heartbeat_every_ms_ = std::max<int64_t>(response.heartbeat_every_ms(), 1);
  next_call_ns_ = 0;
  LogLine(absl::StrFormat("registered; a lease lasts %.1f s, a heartbeat every %.1f s",
                          static_cast<double>(lease_ms_) / 1e3,
                          static_cast<double>(heartbeat_every_ms_) / 1e3));
  attempts_->ForgetGivenBack();
}

void Agent::StartHeartbeat() {
  v1::HeartbeatRequest request;
  request.set_agent_id(attempts_->agent_id());
  request.set_session(link_->session());
  request.set_incarnation(incarnation_);
  for (v1::HeldAttempt& held : attempts_->HeldAttempts()) *request.add_held() = std::move(held);
  const bool stopping = stop_signals_ > 0;
  const bool goes = stopping && attempts_->size() == 0;
  request.set_problem(trainers_.problem());
  if (!stopping && trainers_.problem().empty()) {
    for (const HostDevice& device : attempts_->FreeDevices()) {
      *request.add_free_slots() = SlotOf(device);
    }
  }
  request.mutable_datasets()->Assign(datasets_.offered().begin(), datasets_.offered().end());
  const std::vector<std::string> deleted = attempts_->DeletedCheckpoints();
  request.mutable_deleted_checkpoints()->Assign(deleted.begin(), deleted.end());
  const int64_t asked_ns = last_asked_ns_ = Now();
  // A reply is worth waiting for while it may still renew: on a slow link a shorter wait would give
  // up every one. What remains of the lease is for a second try on a new connection.
  const int64_t timeout_ms =
      lease_ms_ > 0 ? std::clamp<int64_t>(lease_ms_ * 2 / 3, 1, kCallTimeoutMs) : kCallTimeoutMs;
  link_->Heartbeat(request, timeout_ms,
                   [this, asked_ns, goes, deleted](const absl::Status& status,
                                                   const v1::HeartbeatResponse& reply) {
                     final_heartbeat_answered_ |= goes && status.ok();
                     if (status.ok()) attempts_->ForgetDeleted(deleted);
                     OnHeartbeat(asked_ns, status, reply);
                   });
}

void Agent::OnHeartbeat(int64_t asked_ns, const absl::Status& status,
                        const v1::HeartbeatResponse& reply) {
  call_in_flight_ = false;
  if (absl::IsNotFound(status)) {
    LogLine("the coordinator does not know this agent: registering again");
    registered_ = false;
    next_call_ns_ = 0;
    return;
  }
  if (!status.ok()) {
    OnFailure(status);
    return;
  }
  OnAnswer();
  next_call_ns_ = asked_ns + heartbeat_every_ms_ * kMs;
  if (std::exchange(database_is_other_, false)) attempts_->GoBack(reply);
  attempts_->Apply(reply, asked_ns, /*may_start=*/stop_signals_ == 0);
}

void Agent::OnFailure(const absl::Status& status) {
  ++failures_;
  const int64_t retry_ms = std::min(kMaxRetryMs, int64_t{250} << std::min(failures_ - 1, 10));
  next_call_ns_ = Now() + retry_ms * kMs;
  if (failures_ % kReconnectAfterFailures == 0 || link_->Moved()) {
    if (const absl::Status connected = link_->Reconnect(); !connected.ok()) {
      LogOnce(absl::StrCat("coordinator ", link_->address(),
                           " cannot be reached anew: ", connected.message()));
    }
  }
  if (!IsAway(status)) {
    LogOnce(absl::StrCat("coordinator ", link_->address(), " refuses this agent: ",
                         status.message(), "; asking again until it does not"));
    return;
  }
  if (away_since_ns_ == 0) away_since_ns_ = Now();
  if (away_reason_ == status.message()) return;
  away_reason_ = std::string(status.message());
  LogLine(
      absl::StrCat("coordinator ", link_->address(), " is away (", away_reason_, "); ",
                   attempts_->size() > 0
                       ? absl::StrCat(attempts_->size(), " attempts go on until their leases end")
                       : "trying until it answers"));
}

void Agent::OnAnswer() {
  failures_ = 0;
  last_line_.clear();
  away_reason_.clear();
  if (away_since_ns_ == 0) return;
  LogLine(absl::StrFormat("coordinator %s is back after %.1f s", link_->address(),
                          static_cast<double>(Now() - away_since_ns_) / 1e9));
  away_since_ns_ = 0;
}

void Agent::LogOnce(const std::string& line) {
  if (line == last_line_) return;
  last_line_ = line;
  LogLine(line);
}

void Agent::HeartbeatSoon() {
  if (registered_ && failures_ == 0) {
    next_call_ns_ = std::min(next_call_ns_, last_asked_ns_ + kSoonMs * kMs);
  }
}

v1::Slot Agent::SlotOf(const HostDevice& device) const {
  v1::Slot slot;
  slot.set_host(device.host);
  slot.set_device(device.device);
  slot.set_runs(options_.attempts.runs_per_device);
  if (const auto memory = memory_.find(device); memory != memory_.end()) {
    slot.set_memory_bytes(memory->second);
  }
  return slot;
}

}  // namespace allometry::agent
