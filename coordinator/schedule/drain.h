// A node that kills runs is drained: it gets no new ones until a person says so. Pure.
//
// One dead run says little: it may be its own fault, and is retried. Several different runs that
// died on one host without a word (KILLED, STALLED, DEVICE, NODE_LOST, OOM with the least memory
// they can ask for) say something about the host, if they did better elsewhere, or if nothing else
// went well there:
//
//   drained when  `runs` distinct runs died there and each came further on another host,
//           or    `runs` distinct runs died there since the last attempt that ended well there.
// Ends that a run can cause as well (BUG, DATA, CHECKPOINT) count in the first line alone, and only
// where they were not charged to the host: what is charged is host_rest.h's.
//
// The last host that could run something is never drained, however bad: then all would wait for a
// person. It is named instead.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "coordinator/schedule/cluster_state.h"
#include "proto/types.pb.h"

namespace allometry::schedule {

// Whether an attempt that ended so says something about its host.
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
  bool is_last_host = false;  // then it is not drained: nothing else could run what waits
};

// `ends` oldest first: recent ones, on hosts that are not drained. `drained` hosts count as no
// help. By host.
std::vector<DrainAdvice> HostsToDrain(const std::vector<EndOnHost>& ends, const ClusterState& state,
                                      const std::set<std::string>& drained,
                                      const DrainOptions& options = {});

}  // namespace allometry::schedule
