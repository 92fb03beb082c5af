// The training of a model, an update at a time, for who carries updates out otherwise than Run: a
// stack of runs (stack.h).
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "base/status.h"
#include "models/objective.h"
#include "worker/trainer/batch_feed.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/training.h"

namespace allometry::trainer {

class ModelTraining : public Training {
 public:
  // As Training::Create, for runs that train a model. Its parameters and gradient lie in `memory`.
  static absl::StatusOr<std::unique_ptr<ModelTraining>> Open(TrainingParts parts,
                                                             LearnerMemory memory = {});

  // Records what the attempt is trained with. Before the first update.
  virtual absl::Status Begin() = 0;
  // Whether no update is left.
  virtual bool done() const = 0;
  // Reads the next update's batch and hands it to the device; valid until the next call.
  virtual absl::StatusOr<FedUpdate> NextBatch() = 0;
  // What the update is carried out with: BeginUpdate, gradients, FinishUpdate.
  virtual Learner& learner() = 0;
  virtual const models::Objective& objective() const = 0;
  // After the update's work was enqueued: where its report is due, logs, evaluates and checkpoints.
  // How the attempt ended, or nothing where it goes on. The update took the time since `start`.
  virtual absl::StatusOr<std::optional<TrainingEnd>> FinishUpdate(
      std::chrono::steady_clock::time_point start) = 0;
};

}  // namespace allometry::trainer
