// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based hash: neighbouring counters give
// unrelated values, the same on every machine. Stored data depends on it: do not change.
#pragma once

#include <cstdint>

namespace allometry {

inline uint64_t SplitMix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace allometry
