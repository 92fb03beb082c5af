// When a host that kills runs is drained: it then gets no new runs until a person says so. Pure.
//
// One run that died says little about a host, and is retried. Several different runs that died
// there without an error of their own (KILLED, STALLED, DEVICE, NODE_LOST, or OOM with a
// micro-batch of one sequence) point at the host, if they did better elsewhere or if nothing else
// went well there:
//
//   drained when  `runs` distinct runs died there and each got further on another host,
//           or    `runs` distinct runs died there since the last attempt that ended well there.
// Ends that a run can cause as well (BUG, DATA, CHECKPOINT) count only in the first line, and only
// if they were not charged to the host; charged ends are host_backoff.h's.
//
// The last host that could run a waiting run is never drained, because everything would then wait
// for a person. The advice names that host instead.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "coordinator/schedule/cluster_state.h"
#include "proto/types.pb.h"

namespace allometry::schedule {

// Whether an end with this reason is evidence about the host.
bool IsEvidenceAboutHost(v1::ExitReason reason);

struct DrainOptions {
  int runs = 3;  // distinct
};

// An attempt that ended on a host.
struct EndOnHost {
  std::string host;
  int64_t run_id = 0;
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  int64_t step = 0;            // how far it came
  int64_t step_elsewhere = 0;  // how far the run came on another host; 0: it was on none
  bool charged_to_host = false;
};

struct DrainAdvice {
  std::string host;
  std::string reason;         // a sentence
  bool is_last_host = false;  // not drained: no other host could run what waits
};

// `ends`: recent ends on hosts that are not drained, oldest first. A host in `drained` does not
// count as one that could run a waiting run. The advice is sorted by host.
std::vector<DrainAdvice> HostsToDrain(const std::vector<EndOnHost>& ends, const ClusterState& state,
                                      const std::set<std::string>& drained,
                                      const DrainOptions& options = {});

}  // namespace allometry::schedule
