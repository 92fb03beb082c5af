#include "base/boot_id.h"

#include "absl/strings/ascii.h"
#include "base/files.h"

namespace allometry {

std::string BootId() {
  return std::string(
      absl::StripAsciiWhitespace(ReadFile("/proc/sys/kernel/random/boot_id").value_or("unknown")));
}

}  // namespace allometry
