// A checkpoint: all that a later attempt needs to continue with the same bits, in one safetensors
// file.
//
//   transformer.wte.weight, ...                      the parameters, nanoGPT's names and shapes
//   optimizer.exp_avg.NAME, optimizer.exp_avg_sq.NAME   AdamW's moments of each
//   __metadata__: format, step, tokens, identity (IdentityJson), train_loss_sum and
//                 train_loss_count (of the updates since the last point of `train`)
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "models/train_step.h"
#include "run/run_spec.h"
#include "run/spool.h"

namespace allometry::trainer {

// How far a run is, besides its buffers.
struct Progress {
  int64_t step = 0;           // updates done
  int64_t tokens = 0;         // inputs seen
  double train_loss_sum = 0;  // nats, over the updates since the last point
  int64_t train_loss_count = 0;
};

// The run's flat buffers in host memory, each of layout.size.
template <class Float>
struct Buffers {
  std::span<Float> parameters;
  std::span<Float> exp_avg;
  std::span<Float> exp_avg_sq;
};

// Writes RUN_DIR/attempt-K/checkpoint-STEP.safetensors, complete and synced when it returns.
// ResourceExhausted on a full disk.
absl::StatusOr<run::CheckpointRecord> WriteCheckpoint(const std::string& run_dir, int attempt,
                                                      const Progress& progress,
                                                      const run::Identity& identity,
                                                      const models::ParameterLayout& layout,
                                                      const Buffers<const float>& buffers);

// Reads start.file of RUN_DIR, or of RUN_DIR/../run-<start.run_id> where that is set. Verifies the
// file's hash, format, step and identity against what the run says, then fills `buffers`. Any
// difference is an error with a sentence; nothing else is tried.
//
// A checkpoint belongs to a run of the same identity. A run whose rate falls may also start from
// one of its trunk, the run that differs from it in nothing but a rate that stays constant, of an
// update no later than decay_begin: up to there the two are the same run.
absl::StatusOr<Progress> ReadCheckpoint(const std::string& run_dir,
                                        const run::StartCheckpoint& start,
                                        const run::Identity& identity,
                                        const models::ParameterLayout& layout,
                                        const Buffers<float>& buffers);

}  // namespace allometry::trainer
