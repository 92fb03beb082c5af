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
#include "base/host_name.h"
#include "run/device.h"
#include "worker/agent/log.h"
#include "worker/agent/slot_memory.h"
#include "worker/agent/slots.h"

namespace allometry::agent {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int64_t kTickMs = 50;
constexpr int64_t kDatasetsEveryMs = 10'000;
constexpr int64_t kVerifyFirstMs = 2'000;
constexpr int64_t kSuspectEveryMs = 600'000;
constexpr int64_t kDeliverWithinMs = 5'000;  // after the time to stop, before the agent ends

int64_t Now() { return Clock::Real().BootNanos(); }

// Bytes of each device, where they are known: a GPU's own, a CPU slot's share of its host.
std::map<HostDevice, int64_t> MemoryOf(const std::vector<Host>& hosts) {
  std::map<HostDevice, int64_t> memory;
  for (const Host& host : hosts) {
    const auto cpus = std::count_if(
        host.devices.begin(), host.devices.end(),
        [](const std::string& device) { return KindOfSlot(device) == run::DeviceKind::kCpu; });
    int64_t bytes = host.memory_bytes;
    if (bytes == 0 && host.is_here) bytes = HostMemoryBytes();
    std::map<std::string, int64_t> gpus;
    if (host.is_here && cpus < static_cast<int64_t>(host.devices.size())) gpus = GpuMemory();
    for (const std::string& device : host.devices) {
      const auto gpu = gpus.find(run::IndexOfDevice(device));
      const bool is_cpu = KindOfSlot(device) == run::DeviceKind::kCpu;
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
    const run::DeviceKind kind = KindOfSlot(device);
    const std::string& trainer = settings.trainers.Of(kind);
    if (access(trainer.c_str(), X_OK) != 0) {
      return absl::NotFoundError(absl::StrCat(
          "slot ", device, " needs a trainer, and '", trainer, "' is not a program: name it with ",
          kind == run::DeviceKind::kCuda ? "--trainer-cuda" : "--trainer"));
    }
  }
  return absl::OkStatus();
}

// Each program once.
TrainerCheckOptions CheckOf(const AttemptSettings& settings, const AttemptTable& attempts) {
  TrainerCheckOptions options;
  for (const std::string& device : DevicesOf(settings.hosts)) {
    const run::DeviceKind kind = KindOfSlot(device);
    const std::pair<run::DeviceKind, std::string> trainer = {kind, settings.trainers.Of(kind)};
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
  if (options.host.empty()) options.host = HostName();
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
  for (std::string* path : {&settings.trainers.cpu, &settings.trainers.cuda, &settings.data_dir}) {
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

}  // namespace allometry::agent
