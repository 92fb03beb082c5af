#include "worker/agent/slots.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "run/device.h"

namespace allometry::agent {
namespace {

constexpr int kMaxCpuSlots = 4096;

size_t CountOfDeviceFiles() {
  size_t count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/dev", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    int index = 0;
    if (absl::StartsWith(name, "nvidia") && absl::SimpleAtoi(name.substr(6), &index)) ++count;
  }
  return count;
}

// What `nvidia-smi -L` prints; empty where it is not there or fails.
std::string GpuList() {
  FILE* list = popen("nvidia-smi -L 2>/dev/null", "re");
  if (list == nullptr) return "";
  std::string text;
  char line[512];
  while (std::fgets(line, sizeof(line), list) != nullptr) text += line;
  return pclose(list) == 0 ? text : "";
}

std::vector<std::string> DetectGpus() {
  std::vector<std::string> devices;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr) {
    for (absl::string_view id : absl::StrSplit(visible, ',', absl::SkipWhitespace())) {
      id = absl::StripAsciiWhitespace(id);
      if (absl::StartsWith(id, "-")) break;  // CUDA ignores all from the first invalid entry on
      devices.push_back(run::DeviceName(run::DeviceKind::kCuda, id));
    }
    return devices;
  }
  size_t count = CountOfDeviceFiles();
  // Some containers and WSL have GPUs without such files.
  if (count == 0) count = ParseGpuList(GpuList()).size();
  for (size_t i = 0; i < count; ++i) devices.push_back(run::DeviceName(run::DeviceKind::kCuda, i));
  return devices;
}

}  // namespace

std::vector<ListedGpu> ParseGpuList(absl::string_view text) {
  std::vector<ListedGpu> gpus;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    // "GPU 0: NVIDIA H200 (UUID: GPU-5a...)"; a part of a GPU (MIG) is on a line of its own,
    // indented.
    if (!absl::ConsumePrefix(&line, "GPU ")) continue;
    const size_t name = line.find(": "), uuid = line.rfind(" (UUID: ");
    if (name == line.npos || uuid == line.npos || uuid < name) continue;
    absl::string_view id = line.substr(uuid + 8);
    id = id.substr(0, id.find(')'));
    gpus.push_back({std::string(line.substr(name + 2, uuid - name - 2)), std::string(id)});
  }
  return gpus;
}

std::vector<std::string> NamedByUuid(std::vector<std::string> devices, absl::string_view list) {
  const std::vector<ListedGpu> listed = ParseGpuList(list);
  // Of a GPU that is divided CUDA takes the parts alone.
  if (absl::StrContains(list, "\n  MIG ")) return devices;
  const char* order = std::getenv("CUDA_DEVICE_ORDER");
  const bool by_bus = order != nullptr && absl::string_view(order) == "PCI_BUS_ID";
  const bool alike = std::all_of(listed.begin(), listed.end(), [&](const ListedGpu& gpu) {
    return gpu.model == listed.front().model;
  });
  if (!by_bus && !alike) return devices;
  for (std::string& device : devices) {
    size_t index = 0;
    if (KindOfSlot(device) == run::DeviceKind::kCuda &&
        absl::SimpleAtoi(run::IndexOfDevice(device), &index) && index < listed.size()) {
      device = run::DeviceName(run::DeviceKind::kCuda, listed[index].uuid);
    }
  }
  return devices;
}

std::vector<std::string> NamedByUuid(std::vector<std::string> devices) {
  const bool has_gpus = std::any_of(devices.begin(), devices.end(), [](const std::string& device) {
    return KindOfSlot(device) == run::DeviceKind::kCuda;
  });
  return has_gpus ? NamedByUuid(std::move(devices), GpuList()) : devices;
}

std::vector<std::string> DetectDevices() {
  std::vector<std::string> devices = DetectGpus();
  if (!devices.empty()) return devices;
  cpu_set_t allowed;
  const int cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  for (int i = 0; i < cores; ++i) devices.push_back(run::DeviceName(run::DeviceKind::kCpu, i));
  return devices;
}

absl::StatusOr<std::vector<std::string>> ParseSlots(absl::string_view text) {
  if (text == "auto") return DetectDevices();
  std::vector<std::string> devices;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::optional<run::DeviceKind> kind = run::KindOfDevice(entry);
    const std::string index = run::IndexOfDevice(entry);
    int cores = 0;
    if (kind == run::DeviceKind::kCpu && absl::SimpleAtoi(index, &cores) && cores >= 1 &&
        cores <= kMaxCpuSlots) {
      for (int i = 0; i < cores; ++i) devices.push_back(run::DeviceName(run::DeviceKind::kCpu, i));
    } else if (kind == run::DeviceKind::kCuda && !index.empty() &&
               std::all_of(index.begin(), index.end(),
                           [](char c) { return absl::ascii_isalnum(c) || c == '-'; })) {
      devices.emplace_back(entry);
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "--slots: '", entry,
          "' is not a slot: allowed are auto, cpu:COUNT and cuda:INDEX, several ", "with commas"));
    }
  }
  if (std::set<std::string>(devices.begin(), devices.end()).size() != devices.size()) {
    return absl::InvalidArgumentError(absl::StrCat("--slots: '", text, "' names a device twice"));
  }
  return devices;
}

run::DeviceKind KindOfSlot(absl::string_view device) {
  const std::optional<run::DeviceKind> kind = run::KindOfDevice(device);
  ALLO_CHECK(kind.has_value()) << device;
  return *kind;
}

}  // namespace allometry::agent
