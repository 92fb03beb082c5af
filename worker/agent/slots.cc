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
#include "absl/strings/str_split.h"

namespace allometry::agent {
namespace {

constexpr int kMaxCpuSlots = 4096;

int CountOfGpus() {
  int count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/dev", error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    int index = 0;
    if (absl::StartsWith(name, "nvidia") && absl::SimpleAtoi(name.substr(6), &index)) ++count;
  }
  if (count > 0) return count;
  // Some containers and WSL have GPUs without such files.
  FILE* list = popen("nvidia-smi -L 2>/dev/null", "re");
  if (list == nullptr) return 0;
  char line[512];
  while (std::fgets(line, sizeof(line), list) != nullptr) {
    if (absl::StartsWith(line, "GPU ")) ++count;
  }
  return pclose(list) == 0 ? count : 0;
}

std::vector<std::string> DetectGpus() {
  std::vector<std::string> devices;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr) {
    for (absl::string_view id : absl::StrSplit(visible, ',', absl::SkipWhitespace())) {
      id = absl::StripAsciiWhitespace(id);
      if (absl::StartsWith(id, "-")) break;  // CUDA ignores all from the first invalid entry on
      devices.push_back(absl::StrCat("cuda:", id));
    }
    return devices;
  }
  const int count = CountOfGpus();
  for (int i = 0; i < count; ++i) devices.push_back(absl::StrCat("cuda:", i));
  return devices;
}

}  // namespace

std::vector<std::string> DetectDevices() {
  std::vector<std::string> devices = DetectGpus();
  if (!devices.empty()) return devices;
  cpu_set_t allowed;
  const int cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  for (int i = 0; i < cores; ++i) devices.push_back(absl::StrCat("cpu:", i));
  return devices;
}

absl::StatusOr<std::vector<std::string>> ParseSlots(absl::string_view text) {
  if (text == "auto") return DetectDevices();
  std::vector<std::string> devices;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::string kind = DeviceKind(entry);
    const std::string index = DeviceIndex(entry);
    int cores = 0;
    if (kind == "cpu" && absl::SimpleAtoi(index, &cores) && cores >= 1 && cores <= kMaxCpuSlots) {
      for (int i = 0; i < cores; ++i) devices.push_back(absl::StrCat("cpu:", i));
    } else if (kind == "cuda" && !index.empty() &&
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

std::string DeviceKind(absl::string_view device) {
  return std::string(device.substr(0, device.find(':')));
}

std::string DeviceIndex(absl::string_view device) {
  const size_t colon = device.find(':');
  return colon == absl::string_view::npos ? "" : std::string(device.substr(colon + 1));
}

}  // namespace allometry::agent
