#include "run/lease_line.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/boot_id.h"

namespace allometry::run {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds

}  // namespace

std::string WriteLeaseLine(int64_t asked_ns, int64_t deadline_ns, int64_t now_ns) {
  const int64_t left_ns = std::clamp<int64_t>(deadline_ns - now_ns, 0, deadline_ns - asked_ns);
  return absl::StrCat("lease ", BootId(), " ", asked_ns, " ", deadline_ns, " ", left_ns / kMs);
}

std::optional<LeaseLine> ParseLeaseLine(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  LeaseLine lease;
  if (words.size() != 5 || words[0] != "lease" || !absl::SimpleAtoi(words[2], &lease.asked_ns) ||
      !absl::SimpleAtoi(words[3], &lease.deadline_ns) ||
      !absl::SimpleAtoi(words[4], &lease.left_ms)) {
    return std::nullopt;
  }
  lease.boot_id = std::string(words[1]);
  if (lease.asked_ns < 0 || lease.asked_ns > lease.deadline_ns || lease.left_ms < 0 ||
      lease.left_ms > (lease.deadline_ns - lease.asked_ns) / kMs) {
    return std::nullopt;
  }
  return lease;
}

}  // namespace allometry::run
