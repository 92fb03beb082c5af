// How a leased trainer is told how long it may go on: a line on rank 0's standard input.
//
//   lease BOOT_ID ASKED DEADLINE LEFT_MS
//
// ASKED and DEADLINE are CLOCK_BOOTTIME nanoseconds of the machine that writes: the renewal was
// asked for then, and ends then. A reader whose boot id is BOOT_ID has the same clock. Any other
// reader counts LEFT_MS from when it got the line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace allometry::run {

struct LeaseLine {
  std::string boot_id;  // base/boot_id.h
  int64_t asked_ns = 0;
  int64_t deadline_ns = 0;
  int64_t left_ms = 0;  // until the deadline, when the line was written
};

// The line for a deadline of this machine's, written now; without a newline. A deadline that has
// passed leaves 0 ms.
std::string WriteLeaseLine(int64_t asked_ns, int64_t deadline_ns, int64_t now_ns);
// Unset: not a lease line, or ASKED is negative or after DEADLINE, or LEFT_MS is negative or longer
// than from ASKED to DEADLINE.
std::optional<LeaseLine> ParseLeaseLine(absl::string_view line);

}  // namespace allometry::run
