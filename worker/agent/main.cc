// allo-worker: offers slots to a coordinator and runs what it gives them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/private_files.h"
#include "base/standard_output.h"
#include "base/status.h"
#include "transport/address.h"
#include "transport/connection.h"
#include "worker/agent/agent.h"
#include "worker/agent/slots.h"
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
  double stop_within_s = 60;
};

absl::Status RunAgent(Flags flags) {
  AgentOptions& options = flags.options;
  ALLO_ASSIGN_OR_RETURN(options.attempts.devices, allometry::agent::ParseSlots(flags.slots));
  ALLO_ASSIGN_OR_RETURN(
      options.attempts.launcher,
      allometry::launch::FindLauncher(flags.launcher, std::getenv("SLURM_JOB_ID") != nullptr));
  options.attempts.stop_within_ms = static_cast<int64_t>(flags.stop_within_s * 1000);
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<Agent> agent, Agent::Create(std::move(options)));
  CountStopSignals();
  return agent->Run(stop_signals);
}

int Main(int argc, char** argv) {
  allometry::MakeFilesPrivate();
  allometry::transport::QuietGrpc();
  Flags flags;
  AgentOptions& options = flags.options;
  options.attempts.trainer = BesideThisProgram("allo-trainer");
  options.attempts.trainer_cuda = BesideThisProgram("allo-trainer-cuda");
  options.link.address = allometry::transport::DefaultCoordinatorAddress();

  CLI::App app("Offers this host's devices to a coordinator and runs what it gives them.",
               "allo-worker");
  app.add_option("--coordinator", options.link.address, "unix:PATH or HOST:PORT of the coordinator")
      ->envname("ALLO_COORDINATOR")
      ->capture_default_str();
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
  app.add_option("--trainer", options.attempts.trainer, "the trainer for CPU slots")
      ->capture_default_str();
  app.add_option("--trainer-cuda", options.attempts.trainer_cuda, "the trainer for GPU slots")
      ->capture_default_str();
  app.add_option(
         "--launcher", flags.launcher,
         absl::StrCat("what starts the ranks of a run: ", allometry::launch::LauncherNames(),
                      "; auto: srun inside Slurm, elsewhere mpirun where they are several"))
      ->capture_default_str();
  app.add_option("--stop-within", flags.stop_within_s,
                 "seconds that a trainer may take to write its checkpoint when told to stop")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--runs-per-device", options.attempts.runs_per_device,
                 "how many runs of one rank may share a device, where their memory fits")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--stall-factor", options.attempts.stall.factor,
                 "a trainer without a record for this many times the usual time between two is "
                 "ended as STALLED; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--stall-floor-s", options.attempts.stall.floor_s,
                 "seconds without a record that are never too long; 15 times as many until the "
                 "usual time is known")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--tls-ca", options.link.tls_ca,
                 "PEM file of the authority that signed the coordinator's certificate; not needed "
                 "with the token")
      ->envname("ALLO_TLS_CA");
  app.add_option("--token-file", options.link.token_file,
                 "file whose first line is the coordinator's token, for TCP")
      ->envname("ALLO_TOKEN_FILE");
  CLI11_PARSE(app, argc, argv);

  try {
    const absl::Status status = RunAgent(std::move(flags));
    if (status.ok()) return 0;
    std::cerr << "allo-worker: " << status.message() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "allo-worker: " << error.what() << "\n";
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) { return allometry::EndOutput("allo-worker", Main(argc, argv)); }
