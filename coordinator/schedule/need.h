// What decides where a waiting run can start, beside its expected time, and whether it goes ahead
// of its sweep. Runs of one need stand for each other: where one of them found no room, the others
// of no less time find none. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "coordinator/schedule/cluster_state.h"

namespace allometry::schedule {

struct Need {
  bool ahead = false;  // so that a line is in the order of its runs
  int32_t ranks = 1;
  std::string device;        // kind of slot
  std::string dataset_hash;  // empty: there everywhere
  int64_t memory_bytes = 0;  // of one rank, rounded up; 0: counted as nothing
  int32_t max_sharers = 1;   // of a gang: 1, it never shares a slot
  std::string root_id;       // only workers of this run root; empty: any
  std::string avoided_host;  // no worker of this host; empty: any

  auto operator<=>(const Need&) const = default;
};

Need NeedOf(const RunState& run);

// Up to the next of eight steps an octave (at most an eighth more), so that the measured peaks of
// many runs are a few needs. What is placed is counted like this too.
int64_t RoundedMemory(int64_t bytes);

}  // namespace allometry::schedule
