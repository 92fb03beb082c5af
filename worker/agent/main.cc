// allo-worker: offers slots to a coordinator and runs what it gives them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/private_files.h"
#include "base/standard_output.h"
#include "base/status.h"
#include "transport/address.h"
#include "transport/connection.h"
#include "worker/agent/agent.h"
#include "worker/agent/hosts.h"
#include "worker/agent/log.h"
#include "worker/agent/slots.h"
#include "worker/launch/descendants.h"
#include "worker/launch/launcher.h"

namespace {

using allometry::agent::Agent;
using allometry::agent::AgentOptions;

std::atomic<int> stop_signals{0};
static_assert(std::atomic<int>::is_always_lock_free);

// USR2 is how Slurm is asked to announce a preemption (deploy/), perhaps more than once: it never
// counts as the second request, which kills.
void OnStopSignal(int signal) {
  int none = 0;
  if (signal == SIGUSR2) {
    stop_signals.compare_exchange_strong(none, 1);
  } else {
    ++stop_signals;
  }
}

void CountStopSignals() {
  // A parent may have left it ignored: then nobody could wait for a trainer.
  std::signal(SIGCHLD, SIG_DFL);
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) sigaction(signal, &action, nullptr);
}

std::string BesideThisProgram(const std::string& name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? name : (self.parent_path() / name).string();
}

struct Flags {
  AgentOptions options;
  std::string slots = "auto";
  std::string launcher = "auto";
  std::string hosts;
  std::string commands = "auto";
};

// Until the coordinator has written its address, and the token and certificate that its clients
// need. False: told to stop meanwhile.
bool WaitForCoordinator(const AgentOptions& options) {
  if (options.coordinator_file.empty()) return true;
  std::string said;
  while (stop_signals == 0) {
    const absl::StatusOr<std::string> text = allometry::ReadFile(options.coordinator_file);
    allometry::transport::ConnectionOptions link = options.link;
    link.address = std::string(absl::StripAsciiWhitespace(text.value_or("")));
    link.option = options.coordinator_file;
    const absl::Status ready = !text.ok()             ? text.status()
                               : link.address.empty() ? absl::NotFoundError("the file is empty")
                                                      : allometry::transport::Validate(link);
    if (ready.ok()) return true;
    if (std::exchange(said, std::string(ready.message())) != ready.message()) {
      allometry::agent::LogLine(absl::StrCat("waiting for the coordinator: ", ready.message()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return false;
}

absl::Status RunAgent(Flags flags) {
  AgentOptions& options = flags.options;
  ALLO_ASSIGN_OR_RETURN(options.devices, allometry::agent::ParseSlots(flags.slots));
  ALLO_ASSIGN_OR_RETURN(
      options.attempts.launcher,
      allometry::launch::FindLauncher(flags.launcher, std::getenv("SLURM_JOB_ID") != nullptr));
  allometry::launch::Settings& launcher = options.attempts.launch_settings;
  launcher.is_root = geteuid() == 0;
  const allometry::agent::HostsSource source = allometry::agent::RealHosts(options.devices);
  launcher.memory = allometry::agent::StepMemory(source);
  options.launcher_name = source.variable("SLURMD_NODENAME");
  if (!flags.hosts.empty()) {
    ALLO_ASSIGN_OR_RETURN(options.hosts, allometry::agent::ParseHosts(flags.hosts, source));
    for (allometry::agent::Host& host : options.hosts) {
      if (host.is_here) host.devices = allometry::agent::NamedByUuid(std::move(host.devices));
    }
    if (options.attempts.launcher->probe == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("--launcher ", options.attempts.launcher->name,
                                                     " starts nothing on other hosts"));
    }
    if (flags.hosts == "slurm" && options.host.empty()) {
      options.host = "slurm-" + source.variable("SLURM_JOB_ID");
    }
  }
  options.devices = allometry::agent::NamedByUuid(std::move(options.devices));
  CountStopSignals();
  options.attempts.ends_orphans = allometry::launch::BecomeSubreaper();
  if (!WaitForCoordinator(options)) return absl::OkStatus();
  // A socket's folder lets in its owner alone.
  const bool own_coordinator =
      options.coordinator_file.empty() && absl::StartsWith(options.link.address, "unix:");
  ALLO_ASSIGN_OR_RETURN(options.attempts.commands,
                        allometry::agent::ParseCommandPolicy(flags.commands, own_coordinator));
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<Agent> agent, Agent::Create(std::move(options)));
  return agent->Run(stop_signals);
}

int Main(int argc, char** argv) {
  allometry::MakeFilesPrivate();
  allometry::transport::QuietGrpc();
  Flags flags;
  AgentOptions& options = flags.options;
  options.attempts.trainers.cpu = BesideThisProgram("allo-trainer");
  options.attempts.trainers.cuda = BesideThisProgram("allo-trainer-cuda");
  options.attempts.supervisor = BesideThisProgram("allo-supervisor");
  options.link.address = allometry::transport::DefaultCoordinatorAddress();

  CLI::App app("Offers this host's devices to a coordinator and runs what it gives them.",
               "allo-worker");
  app.add_option("--coordinator", options.link.address, "unix:PATH or HOST:PORT of the coordinator")
      ->envname("ALLO_COORDINATOR")
      ->capture_default_str();
  app.add_option("--coordinator-file", options.coordinator_file,
                 "a file with the coordinator's address (its --address-file): waited for, and read "
                 "again whenever the coordinator does not answer");
  app.add_option("--state-dir", options.state_dir,
                 "this agent's identity and what it holds; one agent a folder")
      ->required();
  app.add_option("--run-root", options.run_root, "where run directories and checkpoints lie")
      ->required();
  app.add_option("--data-dir", options.attempts.data_dir, "where datasets lie, a folder each")
      ->required();
  app.add_option(
      "--host", options.host,
      "name of this machine to the coordinator; default: its hostname. Two agents of one "
      "machine need two names, or slots that differ");
  app.add_option("--slots", flags.slots,
                 "auto, cpu:COUNT or cuda:INDEX, several with commas; auto: every GPU, without one "
                 "every CPU core")
      ->capture_default_str();
  app.add_option(
      "--hosts", flags.hosts,
      "several hosts for one worker: slurm (the nodes of this job), a file with a host a "
      "line, or h1:4,h2:4; a run may then use several of them. Default: this machine");
  app.add_option("--trainer", options.attempts.trainers.cpu, "the trainer for CPU slots")
      ->capture_default_str();
  app.add_option("--trainer-cuda", options.attempts.trainers.cuda, "the trainer for GPU slots")
      ->capture_default_str();
  app.add_option(
         "--launcher", flags.launcher,
         absl::StrCat("what starts the ranks of a run: ", allometry::launch::LauncherNames(),
                      "; auto: srun inside Slurm, elsewhere mpirun where they are several"))
      ->capture_default_str();
  app.add_option("--launcher-argument", options.attempts.launch_settings.arguments,
                 "a word just before the trainer: an option of the launcher with its value "
                 "(--container-image=...), or of a wrapper (apptainer exec IMAGE); may be repeated")
      ->allow_extra_args(false);
  app.add_option("--ssh", options.attempts.launch_settings.ssh,
                 "how mpirun reaches other hosts: a command and its options")
      ->capture_default_str();
  app.add_option("--cpus-per-rank", options.attempts.launch_settings.cpus_per_rank,
                 "CPUs that srun gives to each rank")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  allometry::AddDurationInMs(app, "--idle-exit", options.idle_exit_ms,
                             "end when there was nothing to run for so long; 0: never");
  app.add_option("--allow-commands", flags.commands,
                 "whether trainers that a sweep file names are started here (docs/trainer.md): all "
                 "(also without a word), none, or programs with commas; otherwise only for a "
                 "coordinator of this user on this machine, over its socket")
      ->expected(0, 1)
      ->default_str("auto");
  allometry::AddDurationInMs(
      app, "--stop-within", options.attempts.stop_within_ms,
      "how long a trainer may take to write its checkpoint when told to stop", {.least = 0.001});
  app.add_option("--runs-per-device", options.attempts.runs_per_device,
                 "how many runs of one rank may share a device, where their memory fits")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--stall-factor", options.attempts.stall.factor,
                 "a trainer without a record for this many times the usual time between two is "
                 "ended as STALLED; 0: never")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  allometry::AddDurationInSeconds(
      app, "--stall-floor", options.attempts.stall.floor_s,
      "time without a record that is never too long; 15 times as much until the usual time is "
      "known",
      {.least = 0.001});
  app.add_option("--tls-ca", options.link.tls_ca,
                 "PEM file of the authority that signed the coordinator's certificate; not needed "
                 "with the token")
      ->envname("ALLO_TLS_CA");
  app.add_option("--token-file", options.link.token_file,
                 "file whose first line is the coordinator's token, for TCP")
      ->envname("ALLO_TOKEN_FILE");
  if (const std::optional<int> over = allometry::ParseCommandLine(app, argc, argv)) return *over;

  try {
    const absl::Status status = RunAgent(std::move(flags));
    if (status.ok()) return 0;
    std::cerr << "allo-worker: " << status.message() << "\n";
    if (absl::IsInvalidArgument(status)) return 2;  // what was asked for cannot be
  } catch (const std::exception& error) {
    std::cerr << "allo-worker: " << error.what() << "\n";
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) { return allometry::EndOutput("allo-worker", Main(argc, argv)); }
