#include "worker/agent/slot_memory.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"

namespace allometry::agent {
namespace {

// The number in a file of one; 0 for "max" and what is not there.
int64_t NumberIn(const std::string& path) {
  const auto text = ReadFile(path);
  int64_t number = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)) return 0;
  return std::max<int64_t>(number, 0);
}

int64_t MemTotal(const std::string& proc) {
  const auto text = ReadFile(proc + "/meminfo");
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    int64_t kib = 0;
    if (!absl::ConsumePrefix(&line, "MemTotal:")) continue;
    line = absl::StripAsciiWhitespace(line);
    if (absl::ConsumeSuffix(&line, "kB") && absl::SimpleAtoi(line, &kib)) return kib * 1024;
  }
  return 0;
}

}  // namespace

int64_t HostMemoryBytes(const std::string& proc, const std::string& cgroup) {
  int64_t bytes = MemTotal(proc);
  const auto groups = ReadFile(proc + "/self/cgroup");
  if (!groups.ok()) return bytes;
  for (const absl::string_view line : absl::StrSplit(*groups, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool second = fields[1].empty();
    if (!second && fields[1] != "memory") continue;
    const std::string root = second ? cgroup : cgroup + "/memory";
    const std::string file = second ? "/memory.max" : "/memory.limit_in_bytes";
    // Inside a container the path may be the host's, of which only the end of the walk is there.
    for (std::string path = fields[2];; path.erase(path.rfind('/'))) {
      const int64_t limit = NumberIn(root + path + file);
      if (limit > 0 && (bytes == 0 || limit < bytes)) bytes = limit;
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return bytes;
}

std::map<std::string, int64_t> ParseGpuMemory(absl::string_view text) {
  std::map<std::string, int64_t> memory;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
    int64_t mib = 0;
    if (fields.size() != 3 || !absl::SimpleAtoi(absl::StripAsciiWhitespace(fields[2]), &mib)) {
      continue;
    }
    for (int i = 0; i < 2; ++i) {
      memory[std::string(absl::StripAsciiWhitespace(fields[i]))] = mib * (1 << 20);
    }
  }
  return memory;
}

std::map<std::string, int64_t> GpuMemory() {
  FILE* list = popen(
      "nvidia-smi --query-gpu=index,uuid,memory.total --format=csv,noheader,nounits 2>/dev/null",
      "re");
  if (list == nullptr) return {};
  std::string text;
  char piece[512];
  while (std::fgets(piece, sizeof(piece), list) != nullptr) text += piece;
  return pclose(list) == 0 ? ParseGpuMemory(text) : std::map<std::string, int64_t>();
}

}  // namespace allometry::agent
