// Counter-based random numbers: a number is a hash of a key, so any of them can be had alone and in
// any order, the same on every machine.
#pragma once

#include <cstdint>

#include "base/split_mix.h"

namespace allometry::strata {

// A key for `counter` under `key`.
inline uint64_t Mix(uint64_t key, uint64_t counter) { return SplitMix(key ^ SplitMix(counter)); }

// 53 bits of a key as a number in [0, 1), exactly.
inline double Unit(uint64_t key) { return static_cast<double>(key >> 11) * 0x1p-53; }

}  // namespace allometry::strata
