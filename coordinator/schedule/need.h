// What a waiting run needs of a slot, apart from its expected time, and whether it goes before the
// other runs of its sweep. Runs with equal needs are interchangeable for a decision: if one of them
// finds no slot, no run of the same need and at least its duration finds one either. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "coordinator/schedule/cluster_state.h"

namespace allometry::schedule {

struct Need {
  bool ahead = false;  // RunState::ahead; part of the need so that one queue keeps its order
  int32_t ranks = 1;
  SlotKind device;
  std::string dataset_hash;  // empty: there everywhere
  int64_t memory_bytes = 0;  // of one rank, rounded up; 0: counted as nothing
  int32_t max_sharers = 1;   // of a gang: 1, it never shares a slot
  std::string root_id;       // only workers of this run root; empty: any
  std::string avoided_host;  // no worker of this host; empty: any

  auto operator<=>(const Need&) const = default;
};

Need NeedOf(const RunState& run);

// Rounded up to the next of eight steps between two powers of two, hence at most an eighth more, so
// that the measured peaks of many runs give few different needs. Memory of placed runs is rounded
// the same way.
int64_t RoundedMemory(int64_t bytes);

}  // namespace allometry::schedule
