// The training of one attempt, from its first update to its end: which sequences an update sees,
// when to report, evaluate and checkpoint, and when to stop.
//
// Update s (from 1) takes global windows (s-1) B .. s B - 1, B = batch_tokens / context; rank r of
// k computes the contiguous block r B / k .. (r+1) B / k of them, a micro-batch at a time. So the
// data depends on (seed, s) alone, and k ranks differ from one only in the order of float
// additions.
//
// Series, in the order of a step's points: `train` (mean of the updates' losses since the point
// before), `grad_norm` (before clipping), `learning_rate`, `tokens_per_second` (training alone,
// without evaluations and checkpoints) every log_every updates; `heldout` at evaluation steps, with
// `heldout/frame=1` .. `heldout/frame=K` where the objective looks at frames (for a world model 1
// is the prior of images, 2..K the dynamics); of a union `heldout_<name>`, the mean loss of each
// member's windows; of objective `world` the mean loss of the outcomes,
// `heldout_outcome`, and how well rewards are foreseen, `reward_recall` and `reward_precision`
// (reward_detection.h; absent where there is no reward, and where none is foreseen). At step 0
// `class_entropy`, chance, where the loss is that of classes. A run that trains a tokenizer has its
// loss (vq_step.h) as `train`, the mean squared error of the held-out images as `heldout`, and
// `perplexity`, how many codes those use. `memory_bytes` (the peak of rank 0 so far, no curve) when
// it rose, at most once a second.
//
// `heldout` is the mean over the supervised positions of the fixed windows. Windows are computed in
// fixed groups, a group on one rank, and the groups' sums are added in order: its bits depend on
// the parameters, the step backend and the CPU or GPU type, not on ranks or micro-batch.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "worker/comm/collective.h"
#include "worker/trainer/device.h"
#include "worker/trainer/lease_watch.h"
#include "worker/trainer/measure.h"

namespace allometry::trainer {

struct TrainingParts {
  std::string run_dir;
  std::string data_dir;
  run::RunSpec spec;
  ComputeDevice device;
  bool progress = false;        // lines on standard error
  int64_t bucket_elements = 0;  // of the gradient's sum (gradient_buckets.h); 0: one sum of all
  int stack_width = 0;          // of a run that is trained in a stack (stack.h)
  comm::Collective* collective = nullptr;
  run::SpoolWriter* spool = nullptr;  // rank 0 only
  const LeaseWatch* lease = nullptr;  // rank 0 of a leased trainer only
};

// How an attempt ended while every rank was in step.
struct TrainingEnd {
  run::ExitReason reason = run::ExitReason::kSucceeded;
  std::string message;
  int64_t step = 0;
};

class Training {
 public:
  virtual ~Training() = default;

  // Opens the dataset, builds the model and, where run.json says so, restores the start checkpoint:
  // on this rank alone. Failures carry DATA, CHECKPOINT or another reason (outcome.h).
  static absl::StatusOr<std::unique_ptr<Training>> Create(TrainingParts parts);

  // Together with all ranks. SUCCEEDED, DIVERGED, PREEMPTED or CANCELLED_BY_USER; a failure of this
  // rank alone is an error with a reason, and the other ranks are then to be aborted.
  virtual absl::StatusOr<TrainingEnd> Run() = 0;
  // Instead of Run, together with all ranks: times about `seconds` of updates, then evaluations and
  // checkpoints, of which there are two where they are short.
  virtual absl::StatusOr<Measurement> Measure(double seconds) = 0;
  virtual int64_t step() const = 0;
};

}  // namespace allometry::trainer
