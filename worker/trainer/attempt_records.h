// What an attempt of any kind of run writes beside its points, and when: what carries it out, its
// checkpoints, and how it ends where it is told to.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "run/spool.h"
#include "worker/trainer/dataset_checks.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {

// The attempt's folder, which the caller owns from here on. AlreadyExists, with what to do, where
// the attempt ran before.
absl::StatusOr<std::unique_ptr<run::SpoolWriter>> OpenAttempt(const std::string& run_dir,
                                                              int attempt);
// `end`, or that of a failure at `step` with its reason.
TrainingEnd EndOf(const absl::StatusOr<TrainingEnd>& end, int64_t step);
// Ends the spool. The reason becomes DISK_FULL where the record does not fit.
void RecordExit(run::SpoolWriter& spool, TrainingEnd* end);

// Hosts, device, build and step backend, on rank 0. Together with all ranks.
absl::Status RecordExecutionConfig(const TrainingParts& parts, int64_t micro_batch,
                                   const std::string& step_backend);

// kNone where no lease is watched and SIGTERM did not come (LeaseWatch::TakeSigterm).
LeaseCommand CommandOf(const TrainingParts& parts);
// PREEMPTED or CANCELLED_BY_USER at `step`; none where the attempt goes on.
std::optional<TrainingEnd> EndBy(LeaseCommand command, int64_t step);

// When checkpoints are written. Nothing is due where nothing is written (other ranks than 0).
class Checkpoints {
 public:
  // Writes the file; its record.
  using Write = std::function<absl::StatusOr<run::CheckpointRecord>()>;

  // `parts` and `shards` outlive this.
  Checkpoints(const TrainingParts& parts, const ShardWatch& shards)
      : parts_(parts), shards_(shards) {}

  // Training begins at `step`, of which there is a checkpoint, or which needs none.
  void Begin(int64_t step);
  // Writes one where time, the lease or `now` asks for it and there is none of this step.
  absl::Status WriteIfDue(int64_t step, bool now, const Write& write);
  // DATA where a shard is no longer what it was when the run opened it.
  absl::Status WriteNow(int64_t step, const Write& write);

 private:
  using Clock = std::chrono::steady_clock;

  const TrainingParts& parts_;
  const ShardWatch& shards_;
  Clock::time_point written_ = Clock::now();
  int64_t step_ = 0;    // of the newest checkpoint
  int64_t lease_ = -1;  // the lease that asked for one
};

}  // namespace allometry::trainer
