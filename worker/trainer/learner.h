// A model being trained on one rank: its flat parameter, gradient and moment buffers on the rank's
// device, the training step that fills the gradient, and the AdamW update that uses it.
//
// Every rank holds the same parameters and moments: they start equal and every rank applies the
// same summed gradient.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "models/adamw.h"
#include "models/train_step.h"
#include "models/update_numbers.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "worker/trainer/checkpoint.h"
#include "worker/trainer/device.h"

namespace allometry::trainer {

models::AdamWOptions ToAdamWOptions(const run::Optimizer& optimizer);

// Memory of the device that outlives a learner, each at least ParameterLayout::size elements.
struct LearnerMemory {
  std::span<float> parameters, gradient;
};

class Learner {
 public:
  // Allocates everything, but parameters and gradient where `memory` is not empty; the parameters
  // are those of the seed, the moments zero. `step_backend` is a name of models' table or "auto".
  static absl::StatusOr<std::unique_ptr<Learner>> Create(const run::Identity& identity,
                                                         const std::string& step_backend,
                                                         const ComputeDevice& device,
                                                         LearnerMemory memory = {});
  ~Learner();

  const std::string& step_backend() const;  // the one chosen

  // Parameters and moments from and to a checkpoint. Blocks until the device is idle.
  absl::StatusOr<Progress> Restore(const std::string& run_dir, const run::StartCheckpoint& start);
  absl::StatusOr<run::CheckpointRecord> Save(const std::string& run_dir, int attempt,
                                             const Progress& progress) const;

  // An update only enqueues work on a GPU. `inputs` lie in memory of the device.
  // gradient = 0, loss = 0, command = that of the inputs; then, a micro-batch at a time,
  // += weight * (gradient, loss). `done`, of the last micro-batch, is told of the gradient's parts
  // as they are finished (models/train_step.h).
  void BeginUpdate(const models::UpdateInputs* inputs);
  absl::Status AddGradient(const models::Batch& batch, float weight,
                           const models::TrainStep::GradientDone& done = nullptr);
  // For the ranks to add up, on the device: the gradient; the loss and the command.
  std::span<float> gradient();
  std::span<double> scalars();
  // AdamW's update from the gradient of `sequences` over all ranks, and what the training step does
  // after it. Nothing where a loss was not finite (models/guarded_update.h).
  void FinishUpdate(const models::UpdateInputs* inputs, int64_t sequences);

  // What the updates so far left. Blocks until the device is idle.
  models::UpdateReport ReadReport() const;
  // From here on the report's sum goes on.
  void SetLossSum(double sum, double count);

  // The targets' cross-entropies, nats, by position. Touches neither gradient nor moments.
  absl::Status Losses(const models::Batch& batch, std::span<double> losses) const;
  // On a CPU.
  std::span<const float> parameters() const;
  // Of a tokenizer: the codes of those images.
  std::span<const int32_t> codes() const;

 private:
  struct State;
  explicit Learner(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace allometry::trainer
