// The points of an attempt on their way to the spool. Only rank 0 has a spool; on other ranks
// nothing happens here.
//
// Time never decides which points are written, only when: buffered points reach the kernel within a
// second of the next call.
#pragma once

#include <chrono>
#include <string>

#include "base/status.h"
#include "run/spool.h"

namespace allometry::trainer {

class CurveLog {
 public:
  // `spool` may be null and outlives this. With `progress`, a line a second on standard error.
  CurveLog(run::SpoolWriter* spool, int64_t batch_tokens, int64_t steps, bool progress)
      : spool_(spool), batch_tokens_(batch_tokens), steps_(steps), progress_(progress) {}

  // Stores the value of `series` after update `step`; null where it is not finite.
  void Add(int64_t step, const std::string& series, double value);
  // Call once a step.
  absl::Status FlushIfDue(int64_t step);
  absl::Status Flush();

 private:
  using Clock = std::chrono::steady_clock;
  void PrintProgress(int64_t step) const;

  run::SpoolWriter* const spool_;
  const int64_t batch_tokens_;
  const int64_t steps_;
  const bool progress_;
  Clock::time_point flushed_ = Clock::now();
  double train_ = 0, heldout_ = 0, tokens_per_second_ = 0;  // the last ones, for people
};

}  // namespace allometry::trainer
