// The devices that an agent offers: one slot a GPU or a CPU core. `allo plan --slots` reads them
// here too.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "base/status.h"

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

// "cpu" of "cpu:0".
std::string DeviceKind(absl::string_view device);
// "3" of "cuda:3".
std::string DeviceIndex(absl::string_view device);

}  // namespace allometry::agent
