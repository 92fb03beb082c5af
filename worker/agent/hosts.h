// The hosts of an agent that has several: an allocation of a batch system, or a list.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "worker/agent/slots.h"

namespace allometry::agent {

struct Host {
  std::string name;           // to the coordinator
  std::string launcher_name;  // to the launcher; empty: it need not be named
  bool is_here = true;        // it is this machine
  std::vector<std::string> devices;
  int64_t memory_bytes = 0;  // for its CPU slots together; 0: not known
};

// What the environment and the machine say, replaceable in tests.
struct HostsSource {
  std::function<std::string(const std::string& variable)> variable;  // empty: not set
  // The names in a Slurm node list ("n[1-3]"), by `scontrol show hostnames`.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& list)> expand;
  std::string this_machine;          // its name
  std::vector<std::string> devices;  // that it offers by itself
};
HostsSource RealHosts(std::vector<std::string> devices);

// What --hosts says:
//   "slurm"       the allocation that this process is in: its nodes, with as many CPU slots as
//   Slurm
//                 gave CPUs there, or with its GPUs. Devices are named by the job ("cpu:job17.0"):
//                 Slurm sees to it that two jobs of a node never share one.
//   "h1:4,h2:4"   hosts and their slots; without a number as many as this machine has
//   a file        a host a line: "h1", "h1:4", "h1 slots=4" (Open MPI), "h1 cuda:0,cuda:1", or the
//                 same name once a slot (PBS); '#' begins a comment
// The slots are GPUs where this machine offers GPUs, and otherwise CPU cores.
// InvalidArgument names the entry and what was allowed; NotFound: no such file.
absl::StatusOr<std::vector<Host>> ParseHosts(const std::string& text, const HostsSource& source);

// srun's option for the memory of a step: its share of what Slurm gave the job.
std::string StepMemory(const HostsSource& source);

}  // namespace allometry::agent
