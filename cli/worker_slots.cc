#include "cli/worker_slots.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/host_name.h"
#include "run/device.h"
#include "worker/agent/slot_memory.h"
#include "worker/agent/slots.h"

namespace allometry::cli {

absl::StatusOr<std::vector<cost::WorkerSlots>> SlotsOfThisMachine(const std::string& text) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<std::string> devices, agent::ParseSlots(text));
  int cpu = 0, cuda = 0;
  for (const std::string& device : devices)
    ++(agent::KindOfSlot(device) == run::DeviceKind::kCpu ? cpu : cuda);
  std::vector<cost::WorkerSlots> workers;
  if (cpu > 0) {
    workers.push_back({HostName(), run::DeviceKind::kCpu, cpu,
                       static_cast<double>(agent::HostMemoryBytes()) / cpu});
  }
  if (cuda > 0) {
    const std::map<std::string, int64_t> memory = agent::GpuMemory();
    double most = 0;  // as of a worker's slots
    for (const std::string& device : devices) {
      const auto bytes = memory.find(run::IndexOfDevice(device));
      if (bytes != memory.end()) most = std::max(most, static_cast<double>(bytes->second));
    }
    workers.push_back({HostName(), run::DeviceKind::kCuda, cuda, most});
  }
  return workers;
}

std::vector<cost::WorkerSlots> WorkersOf(const v1::ListWorkersResponse& response) {
  std::vector<cost::WorkerSlots> workers;
  for (const v1::Worker& worker : response.workers()) {
    if (!worker.drained().empty()) continue;
    std::map<run::DeviceKind, cost::WorkerSlots> by_kind;
    for (const v1::Slot& slot : worker.slots()) {
      const std::optional<run::DeviceKind> kind = run::KindOfDevice(slot.device());
      if (!kind.has_value()) continue;
      cost::WorkerSlots& slots = by_kind[*kind];
      slots.host = worker.host();
      slots.kind = *kind;
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
    parts.push_back(
        absl::StrFormat("%s %s:%d", worker.host, run::NameOf(worker.kind), worker.slots));
  }
  return parts.empty() ? "none" : absl::StrJoin(parts, ", ");
}

}  // namespace allometry::cli
