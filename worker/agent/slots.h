// The devices that an agent offers: one slot a GPU or a CPU core. `allo plan --slots` reads them
// here too.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "base/status.h"
#include "run/choices.h"

namespace allometry::agent {

// What --slots says, as devices ("cpu:0", "cuda:3"):
//   "cpu:2"          a count: cpu:0 and cpu:1 (cores are alike)
//   "cuda:0,cuda:3"  indices, or UUIDs as in CUDA_VISIBLE_DEVICES (GPUs are not)
//   "auto"           DetectDevices()
// InvalidArgument names the entry and what was allowed.
absl::StatusOr<std::vector<std::string>> ParseSlots(absl::string_view text);

// A device of one of the agent's hosts.
struct HostDevice {
  std::string host;
  std::string device;
  auto operator<=>(const HostDevice&) const = default;
};

// Every GPU that CUDA_VISIBLE_DEVICES allows; where there is none, every core that this process may
// run on.
std::vector<std::string> DetectDevices();

struct ListedGpu {
  std::string model;  // "NVIDIA H200"
  std::string uuid;   // "GPU-5a2c..."
};
// What `nvidia-smi -L` prints, by index.
std::vector<ListedGpu> ParseGpuList(absl::string_view text);
// `devices` with the UUIDs of that list in place of GPUs' indices: an index depends on
// CUDA_VISIBLE_DEVICES, so two workers of a host may mean two GPUs by one index, or one GPU by two.
// nvidia-smi counts along the bus and CUDA from the fastest on, so where models differ an index
// stays, unless CUDA_DEVICE_ORDER is PCI_BUS_ID.
std::vector<std::string> NamedByUuid(std::vector<std::string> devices, absl::string_view list);
// The same by this machine's nvidia-smi; as they are where there is none.
std::vector<std::string> NamedByUuid(std::vector<std::string> devices);

// Of a device that ParseSlots made or accepted.
run::DeviceKind KindOfSlot(absl::string_view device);

}  // namespace allometry::agent
