#include "cli/worker_slots.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace allometry::cli {
namespace {

double MemoryOfThisMachine() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace

std::string ThisHost() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  return name;
}

absl::StatusOr<std::vector<cost::WorkerSlots>> SlotsOfThisMachine(const std::string& text) {
  int cpu = 0, cuda = 0;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(entry, ':');
    int count = 0;
    if (entry == "auto") {
      cpu += static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    } else if (parts.size() == 2 && parts[0] == "cpu" && absl::SimpleAtoi(parts[1], &count) &&
               count >= 1 && count <= 4096) {
      cpu += count;
    } else if (parts.size() == 2 && parts[0] == "cuda" && !parts[1].empty()) {
      ++cuda;
    } else {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--slots: '%s' is not known: allowed are auto, cpu:COUNT (1 to 4096) and cuda:INDEX, "
          "several with commas",
          entry));
    }
  }
  std::vector<cost::WorkerSlots> workers;
  if (cpu > 0) workers.push_back({ThisHost(), "cpu", cpu, MemoryOfThisMachine() / cpu});
  if (cuda > 0) workers.push_back({ThisHost(), "cuda", cuda, 0});
  return workers;
}

std::vector<cost::WorkerSlots> WorkersOf(const v1::ListWorkersResponse& response) {
  std::vector<cost::WorkerSlots> workers;
  for (const v1::Worker& worker : response.workers()) {
    if (!worker.drained().empty()) continue;
    std::map<std::string, cost::WorkerSlots> by_kind;
    for (const v1::Slot& slot : worker.slots()) {
      const std::string kind = slot.device().substr(0, slot.device().find(':'));
      cost::WorkerSlots& slots = by_kind[kind];
      slots.host = worker.host();
      slots.kind = kind;
      ++slots.slots;
      slots.memory_bytes = std::max(slots.memory_bytes, static_cast<double>(slot.memory_bytes()));
    }
    for (const auto& [kind, slots] : by_kind) workers.push_back(slots);
  }
  return workers;
}

std::string WorkersText(const std::vector<cost::WorkerSlots>& workers) {
  std::vector<std::string> parts;
  for (const cost::WorkerSlots& worker : workers) {
    parts.push_back(absl::StrFormat("%s %s:%d", worker.host, worker.kind, worker.slots));
  }
  return parts.empty() ? "none" : absl::StrJoin(parts, ", ");
}

}  // namespace allometry::cli
