// Detects a trainer that makes no more progress, from the growth of its spool.
//
// After a stopped rank, a hung collective or a dead file system the processes live and do nothing.
// The spool of a working trainer grows: points every log_every updates, evaluations, checkpoints. A
// trainer has stalled when its spool did not grow for
//
//   limit = max(floor, factor * median, 2 * longest)
//
// of the last kIntervals times between two growths of this attempt. The longest counts because
// evaluations and checkpoints take time too: after the first of them the watch knows how long.
// While fewer than kFewest are known, a trainer loads its data, meets its other ranks and may take
// long for an update: limit = kStartFloors * floor.
//
// Time is what the agent saw pass: each call adds at most kLongestGapNs. So a machine that was
// suspended, a frozen container and an agent that was itself stopped for an hour accuse nobody: a
// healthy trainer, stopped with its agent, has the whole limit again, whichever clock had jumped.
// Pure. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace allometry::agent {

struct StallOptions {
  double factor = 20;  // 0: never
  double floor_s = 120;
};

class StallWatch {
 public:
  static constexpr size_t kIntervals = 64;
  static constexpr size_t kFewest = 3;
  static constexpr double kStartFloors = 15;
  static constexpr int64_t kLongestGapNs = 1'000'000'000;

  explicit StallWatch(StallOptions options) : options_(options) {}

  // At any clock's `now_ns` the spool has `bytes`. Returns why the trainer counts as stalled, as a
  // sentence, or empty. Call often: several times a second.
  std::string Observe(int64_t now_ns, int64_t bytes);

 private:
  double LimitSeconds() const;

  const StallOptions options_;
  int64_t last_call_ns_ = -1;
  int64_t bytes_ = -1;
  int64_t silent_ns_ = 0;             // seen to pass since the last growth
  std::deque<int64_t> intervals_ns_;  // between growths, oldest first
};

}  // namespace allometry::agent
