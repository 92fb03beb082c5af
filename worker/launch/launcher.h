// How the ranks of a program are started: a table of launchers, one file and one row each
// (registry.cc). The worker and `allo plan` start their trainers through it.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "run/choices.h"

namespace allometry::launch {

// The ranks of one host.
struct HostRanks {
  std::string host;     // as the launcher knows it
  bool is_here = true;  // it is this machine
  // One a rank, in rank order: what stands after "cuda:" in a slot, an index or a UUID. Of CPU
  // slots only their number counts.
  std::vector<std::string> devices;
};

// What a user says about the launcher, for all jobs.
struct Settings {
  bool is_root = false;                // Open MPI refuses root unless told
  std::string ssh = "ssh";             // of mpirun on other hosts: a command and its options
  int cpus_per_rank = 1;               // srun gives a step so many
  std::string memory;                  // of a step, as srun's option says it ("--mem-per-cpu=2000")
  std::vector<std::string> arguments;  // just before the program: options, or a wrapper
};

struct Job {
  std::vector<std::string> program;                     // and its arguments
  run::DeviceKind device_kind = run::DeviceKind::kCpu;  // of every rank
  std::vector<HostRanks> hosts;                         // in rank order; not empty
  // The program is started once on each host, for all of its devices; a rank is a host.
  bool one_per_host = false;
  // The command of a sweep file: nothing of this process's environment is sent to other hosts.
  bool is_foreign = false;
  std::vector<std::pair<std::string, std::string>> environment;  // of every rank
  Settings settings;
};

struct Command {
  std::vector<std::string> arguments;  // arguments[0] is looked for in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // over this process's own
  // Variables of this process's own that go on although a batch system set them.
  std::vector<std::string> kept;
  // A program of a sweep file (docs/trainer.md): of this process's own variables only `kept` go on.
  bool is_foreign = false;
  std::string working_dir = {};  // in which it starts; empty: this process's own
  // allo-supervisor is what it starts (worker/supervisor): told to, that ends all there is.
  bool is_supervised = false;
};

struct Launcher {
  absl::string_view name;
  absl::string_view what;  // for --help
  // It also starts a job of one rank on this machine; other launchers leave that to "none".
  bool starts_single_ranks;
  // It sets CUDA_VISIBLE_DEVICES on each host itself.
  bool names_gpus;
  // InvalidArgument: the launcher cannot start this job.
  absl::StatusOr<Command> (*make)(const Job& job);
  // The command that ends with 0 where the host can be reached and takes jobs; nullptr: the
  // launcher knows no other hosts.
  Command (*probe)(const std::string& host, const Settings& settings);
};

std::span<const Launcher> Launchers();
// "auto, none, mpirun, srun".
std::string LauncherNames();
// A row by its name; "auto": srun inside a Slurm allocation (`in_slurm`), mpirun elsewhere.
// InvalidArgument lists the names.
absl::StatusOr<const Launcher*> FindLauncher(absl::string_view name, bool in_slurm);

// The command that starts `job` by `launcher`, or by "none" where the job is one rank on this
// machine and the launcher leaves that to it.
absl::StatusOr<Command> MakeCommand(const Launcher& launcher, const Job& job);

// Whether a variable of this process's own goes on to what the command starts. A batch system's or
// a launcher's does not: it would lend the program this process's own rank, and mpirun other hosts.
bool IsInherited(const Command& command, absl::string_view name);
// The whole environment of the command, as "NAME=VALUE".
std::vector<std::string> EnvironmentOf(const Command& command);
// As execve and posix_spawn take them: the strings, which must outlive it, and nullptr.
std::vector<char*> Pointers(std::vector<std::string>& strings);

// --- For the rows ---
size_t RankCount(const Job& job);
size_t RanksOn(const Job& job, const HostRanks& host);
// The value of CUDA_VISIBLE_DEVICES on that host.
std::string VisibleGpus(const HostRanks& host);

}  // namespace allometry::launch
