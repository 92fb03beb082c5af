// Back-off of hosts whose attempts end before they store a point. Pure.
//
// The ends that are charged to a host (after_exit.h) since it last ran an attempt that stored a
// point form rounds. A round holds the attempts that were started before the round's first failure
// was known. After round k the host gets no run for base * 2^(k - 1), at most `longest`. Then it is
// on probation: one run at a time, until one stores a point. That clears all rounds. The caller may
// end a back-off early, for example when a worker is started again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proto/types.pb.h"

namespace allometry::schedule {

struct BackoffOptions {
  int64_t base_us = 1'000'000;
  int64_t longest_us = 300'000'000;
};

// An attempt whose end is charged to its host. Times on the wall clock.
struct ChargedEnd {
  std::string host;
  int64_t run_id = 0;
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;  // a line
  int64_t started_us = 0;
  int64_t ended_us = 0;
};

struct HostBackoff {
  int rounds = 0;
  int64_t ended_us = 0;    // the last end
  int64_t backoff_us = 0;  // counted from that end
  std::string reason;      // "3 runs failed there before they got going, the last with BUG: ..."
  bool operator==(const HostBackoff&) const = default;
};

// `ends`: of each host, those since an attempt last stored a point there, in any order. By host.
std::map<std::string, HostBackoff> HostsToBackOff(std::vector<ChargedEnd> ends,
                                                  const BackoffOptions& options = {});

}  // namespace allometry::schedule
