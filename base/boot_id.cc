#include "base/boot_id.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry {
namespace {

// "+SECONDS.NANOSECONDS" of this process's time namespace (a container may have one, whose boot
// clock is another); empty: the machine's own.
std::string ClockOffset() {
  const std::string offsets = ReadFile("/proc/self/timens_offsets").value_or("");
  for (const absl::string_view line : absl::StrSplit(offsets, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() != 3 || words[0] != "boottime" || (words[1] == "0" && words[2] == "0")) {
      continue;
    }
    return absl::StrCat("+", words[1], ".", words[2]);
  }
  return "";
}

}  // namespace

std::string BootId() {
  return absl::StrCat(
      absl::StripAsciiWhitespace(ReadFile("/proc/sys/kernel/random/boot_id").value_or("unknown")),
      ClockOffset());
}

}  // namespace allometry
