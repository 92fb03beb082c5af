#include "worker/agent/hosts.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/host_name.h"
#include "run/device.h"

namespace allometry::agent {
namespace {

constexpr int kMostSlots = 4096;
constexpr int64_t kMiB = int64_t{1} << 20;

constexpr char kAllowed[] =
    "allowed are slurm, a file with a host a line, or hosts with their slots, as h1:4,h2:4";

absl::Status BadEntry(const std::string& where, absl::string_view entry, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--hosts: ", where, "'", entry, "' ", why, "; ", kAllowed));
}

bool IsHostName(absl::string_view name) {
  return !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
}

absl::string_view FirstLabel(absl::string_view name) { return name.substr(0, name.find('.')); }

// "n1" and "n1.cluster" are one host; of two full names all must agree.
bool IsThisMachine(absl::string_view name, absl::string_view machine) {
  if (name == "localhost" || name == machine) return true;
  const bool one_is_short = !absl::StrContains(name, '.') || !absl::StrContains(machine, '.');
  return one_is_short && FirstLabel(name) == FirstLabel(machine);
}

// So many devices of the kind that this machine offers.
std::vector<std::string> Devices(const HostsSource& source, int count) {
  const run::DeviceKind kind =
      source.devices.empty() ? run::DeviceKind::kCpu : KindOfSlot(source.devices.front());
  std::vector<std::string> devices;
  for (int i = 0; i < count; ++i) devices.push_back(run::DeviceName(kind, i));
  return devices;
}

// "2(x3),4" as 2, 2, 2, 4.
absl::StatusOr<std::vector<int>> Repeated(absl::string_view text) {
  std::vector<int> counts;
  for (absl::string_view entry : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int count = 0, times = 1;
    const size_t repeat = entry.find("(x");
    bool good = absl::SimpleAtoi(entry.substr(0, repeat), &count) && count >= 1;
    if (repeat != entry.npos) {
      absl::string_view number = entry.substr(repeat + 2);
      good = good && absl::ConsumeSuffix(&number, ")") && absl::SimpleAtoi(number, &times) &&
             times >= 1;
    }
    if (!good) return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no list of counts"));
    counts.insert(counts.end(), static_cast<size_t>(times), count);
  }
  return counts;
}

// "8", "a100:8" and "a100:4,v100:4" as 8.
int CountOfGpus(absl::string_view text) {
  int count = 0;
  for (absl::string_view entry : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const size_t colon = entry.rfind(':');
    int of_kind = 0;
    if (absl::SimpleAtoi(colon == entry.npos ? entry : entry.substr(colon + 1), &of_kind)) {
      count += of_kind;
    }
  }
  return count;
}

absl::StatusOr<std::vector<Host>> SlurmHosts(const HostsSource& source) {
  const std::string job = source.variable("SLURM_JOB_ID");
  const std::string list = source.variable("SLURM_JOB_NODELIST");
  if (job.empty() || list.empty()) {
    return absl::InvalidArgumentError(
        "--hosts slurm: this process is in no Slurm job (SLURM_JOB_ID or SLURM_JOB_NODELIST is not "
        "set): start it by sbatch or srun");
  }
  ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> names, source.expand(list));
  const std::string cpus_text = source.variable("SLURM_JOB_CPUS_PER_NODE");
  const absl::StatusOr<std::vector<int>> cpus = Repeated(cpus_text);
  if (!cpus.ok() || cpus->size() != names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--hosts slurm: SLURM_JOB_CPUS_PER_NODE is '", cpus_text,
                     "', which is not a number of CPUs for each of the ", names.size(), " nodes"));
  }
  int gpus = CountOfGpus(source.variable("SLURM_GPUS_PER_NODE"));
  if (gpus == 0) gpus = CountOfGpus(source.variable("SLURM_GPUS_ON_NODE"));
  int64_t per_cpu = 0, per_node = 0;  // MiB
  if (!absl::SimpleAtoi(source.variable("SLURM_MEM_PER_CPU"), &per_cpu)) per_cpu = 0;
  if (!absl::SimpleAtoi(source.variable("SLURM_MEM_PER_NODE"), &per_node)) per_node = 0;
  std::vector<Host> hosts;
  for (size_t i = 0; i < names.size(); ++i) {
    Host host;
    host.name = host.launcher_name = names[i];
    host.is_here = IsThisMachine(names[i], source.this_machine);
    const int count = gpus > 0 ? gpus : (*cpus)[i];
    const run::DeviceKind kind = gpus > 0 ? run::DeviceKind::kCuda : run::DeviceKind::kCpu;
    for (int k = 0; k < count; ++k) {
      host.devices.push_back(run::DeviceName(kind, absl::StrCat("job", job, ".", k)));
    }
    host.memory_bytes = (per_node > 0 ? per_node : per_cpu * (*cpus)[i]) * kMiB;
    hosts.push_back(std::move(host));
  }
  return hosts;
}

// Adds a host, or slots to the one that is there under that name.
absl::Status Add(const std::string& where, absl::string_view entry, absl::string_view name,
                 const std::vector<std::string>& devices, const HostsSource& source,
                 std::vector<Host>& hosts) {
  if (!IsHostName(name)) return BadEntry(where, entry, "has no host's name");
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [&](const Host& host) { return host.name == name; });
  if (found != hosts.end()) {
    return BadEntry(where, entry, "names a host a second time");
  }
  if (devices.empty() || devices.size() > kMostSlots) {
    return BadEntry(where, entry,
                    absl::StrCat("has ", devices.size(), " slots, of 1 to ", kMostSlots));
  }
  Host& host = hosts.emplace_back();
  host.name = host.launcher_name = std::string(name);
  host.is_here = IsThisMachine(name, source.this_machine);
  host.devices = devices;
  return absl::OkStatus();
}

// The devices that "4" says; nothing: as many as this machine has.
absl::StatusOr<std::vector<std::string>> Counted(const std::string& where, absl::string_view entry,
                                                 absl::string_view count,
                                                 const HostsSource& source) {
  if (count.empty()) return source.devices;
  int slots = 0;
  if (!absl::SimpleAtoi(count, &slots) || slots < 1 || slots > kMostSlots) {
    return BadEntry(where, entry, absl::StrCat("has no number of slots from 1 to ", kMostSlots));
  }
  return Devices(source, slots);
}

absl::StatusOr<std::vector<Host>> ListedHosts(const std::string& text, const HostsSource& source) {
  std::vector<Host> hosts;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(entry, absl::MaxSplits(':', 1));
    if (absl::EndsWith(entry, ":")) return BadEntry("", entry, "has no number of slots");
    ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> devices,
                          Counted("", entry, parts.second, source));
    ALLO_RETURN_IF_ERROR(Add("", entry, parts.first, devices, source, hosts));
  }
  return hosts;
}

// What a file says about a host.
struct Listed {
  std::string where;
  std::string name;
  int times = 0;                     // lines that only name it
  std::vector<std::string> devices;  // that a line says
};

// Adds one line to what the file has said before.
absl::Status ReadLine(const std::string& where, absl::string_view line, const HostsSource& source,
                      std::vector<Listed>& listed) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() > 2) return BadEntry(where, line, "has more than a host and its slots");
  const std::pair<absl::string_view, absl::string_view> name =
      absl::StrSplit(words[0], absl::MaxSplits(':', 1));
  auto host = std::find_if(listed.begin(), listed.end(),
                           [&](const Listed& other) { return other.name == name.first; });
  const bool is_new = host == listed.end();
  if (is_new) host = listed.insert(host, {where, std::string(name.first), 0, {}});
  absl::string_view count = name.second;
  const bool bare = words.size() == 1 && count.empty();
  if (!is_new && (!bare || !host->devices.empty())) {
    return BadEntry(where, line, "names a host a second time");
  }
  if (bare) {
    ++host->times;
    return absl::OkStatus();
  }
  if (words.size() == 2) count = words[1];
  if (words.size() == 1 || absl::ConsumePrefix(&count, "slots=")) {
    ALLO_ASSIGN_OR_RETURN(host->devices, Counted(where, line, count, source));
    return absl::OkStatus();
  }
  const absl::StatusOr<std::vector<std::string>> named = ParseSlots(count);
  if (!named.ok()) return BadEntry(where, line, "has no slots after the host");
  host->devices = *named;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Host>> HostsOfFile(const std::string& path, const HostsSource& source) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<Listed> listed;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    ALLO_RETURN_IF_ERROR(ReadLine(absl::StrCat(path, ":", number, ": "), line, source, listed));
  }
  if (listed.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--hosts: ", path, " names no host"));
  }
  // A file that names a host several times counts slots; so a host that it names once has one.
  const bool counts =
      std::any_of(listed.begin(), listed.end(), [](const Listed& host) { return host.times > 1; });
  std::vector<Host> hosts;
  for (Listed& host : listed) {
    if (host.devices.empty()) host.devices = counts ? Devices(source, host.times) : source.devices;
    ALLO_RETURN_IF_ERROR(Add(host.where, host.name, host.name, host.devices, source, hosts));
  }
  return hosts;
}

}  // namespace

HostsSource RealHosts(std::vector<std::string> devices) {
  HostsSource source;
  source.variable = [](const std::string& variable) {
    const char* value = std::getenv(variable.c_str());
    return std::string(value == nullptr ? "" : value);
  };
  source.expand = [](const std::string& list) -> absl::StatusOr<std::vector<std::string>> {
    // It reads the list from the environment, so nothing of it is a word of this command.
    FILE* output = popen("scontrol show hostnames 2>/dev/null", "re");
    if (output == nullptr) return absl::InternalError("scontrol cannot be started");
    std::vector<std::string> names;
    char line[512];
    while (std::fgets(line, sizeof(line), output) != nullptr) {
      names.emplace_back(absl::StripAsciiWhitespace(line));
    }
    if (pclose(output) != 0 || names.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "--hosts slurm: 'scontrol show hostnames' does not name the nodes of ", list));
    }
    return names;
  };
  source.this_machine = HostName();
  source.devices = std::move(devices);
  return source;
}

absl::StatusOr<std::vector<Host>> ParseHosts(const std::string& text, const HostsSource& source) {
  if (text == "slurm") return SlurmHosts(source);
  // A folder or a dot of a file's name is in no list of hosts without slots.
  if (absl::StrContains(text, '/') || access(text.c_str(), F_OK) == 0) {
    return HostsOfFile(text, source);
  }
  return ListedHosts(text, source);
}

std::string StepMemory(const HostsSource& source) {
  int64_t per_cpu = 0, per_node = 0, cpus = 0;
  if (absl::SimpleAtoi(source.variable("SLURM_MEM_PER_CPU"), &per_cpu) && per_cpu > 0) {
    return absl::StrCat("--mem-per-cpu=", per_cpu);
  }
  const absl::StatusOr<std::vector<int>> counts =
      Repeated(source.variable("SLURM_JOB_CPUS_PER_NODE"));
  if (counts.ok()) {
    for (const int count : *counts) cpus = std::max<int64_t>(cpus, count);
  }
  if (absl::SimpleAtoi(source.variable("SLURM_MEM_PER_NODE"), &per_node) && per_node > 0 &&
      cpus > 0) {
    return absl::StrCat("--mem-per-cpu=", std::max<int64_t>(1, per_node / cpus));
  }
  return "--mem=0";  // the job's own, shared by its steps
}

}  // namespace allometry::agent
