// A host whose attempts end before they get going rests, and is tried again by itself. Pure.
//
// Ends that are charged to a host (after_exit.h) since it last got a run going come in rounds: a
// round is what was started before the round's first failure was known. After round k the host
// gets no run for base * 2^(k - 1), at most `longest`; then it is on probation: one run at a time,
// until a point of one is stored. That forgives everything. A host that is mended, or one that is
// started again, need not wait: the caller may end a rest early.
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
  int64_t backoff_us = 0;  // from then on
  std::string reason;      // "3 runs failed there before they got going, the last with BUG: ..."
  bool operator==(const HostBackoff&) const = default;
};

// `ends`: of each host those since it last got a run going, in any order. By host.
std::map<std::string, HostBackoff> HostsToBackOff(std::vector<ChargedEnd> ends,
                                                  const BackoffOptions& options = {});

}  // namespace allometry::schedule
