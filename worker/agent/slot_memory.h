// How much memory a slot has. The coordinator needs it to put several runs on one device.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace allometry::agent {

// Memory of this machine that this process may use: MemTotal, or the least limit of its cgroup and
// those above (version 2 or 1) where that is smaller. 0: not known. The folders are for tests.
int64_t HostMemoryBytes(const std::string& proc = "/proc",
                        const std::string& cgroup = "/sys/fs/cgroup");

// What `nvidia-smi --query-gpu=index,uuid,memory.total --format=csv,noheader,nounits` prints, as
// bytes by index and by UUID. Lines that say something else are skipped ("[N/A]" for a MIG device).
std::map<std::string, int64_t> ParseGpuMemory(absl::string_view text);
// The same of this machine; empty where there is no nvidia-smi.
std::map<std::string, int64_t> GpuMemory();

}  // namespace allometry::agent
