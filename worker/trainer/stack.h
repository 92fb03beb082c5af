// Runs of one shape, trained as one batched program in one process (models/stacked_step.h): small
// models in number instead of one that leaves its device idle.
//
// Each run of a stack has its own data, seed, learning rate, evaluations, checkpoints and end; of
// an update only the gradients are computed together. The width of the stack is part of a run's
// numerics; which other runs are in it is not. So a run that is trained again in a stack of the
// same width, with other runs or alone, has the same bits, and so has one that continues from its
// checkpoint. A run that has ended leaves its place idle; a stack of one width costs the same
// whether its places are taken or not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/stacked_step.h"
#include "run/run_spec.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {

using models::kMostStacked;

// Why these runs cannot be trained as a stack of `width`, with the first run, field and value that
// keeps them from it; InvalidArgument. OK: they have one shape, batch, micro-batch, objective,
// precision (fp32 or tf32) and device, are of kind train, and of one rank.
absl::Status CheckStack(const std::vector<run::RunSpec>& specs, int width);

class Stack {
 public:
  // How the run of that index ended; an error has its reason (outcome.h).
  using OnEnd = std::function<void(size_t run, const absl::StatusOr<TrainingEnd>& end)>;

  virtual ~Stack() = default;

  // Opens every run's data and restores its checkpoint. `runs` satisfy CheckStack. One that cannot
  // be opened has ended: `on_end` says so, at once. An error is that of the stack as a whole.
  static absl::StatusOr<std::unique_ptr<Stack>> Create(std::vector<TrainingParts> runs, int width,
                                                       OnEnd on_end);

  // Trains until every run has ended; `on_end` is called once for each that Create opened. On an
  // error, or an exception, those that are open have not ended.
  virtual absl::Status Run() = 0;
  virtual bool IsOpen(size_t run) const = 0;
  virtual int64_t StepOf(size_t run) const = 0;
};

}  // namespace allometry::trainer
