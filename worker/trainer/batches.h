// What a run reads: its dataset's windows as batches of its model family, under its objective.
//
// A family of tokens takes a window's ids as they are. A family of frames (models/shape.h) takes
// of each frame its image, the actions of the frame before (-1 at a window's first) and, as
// targets, its own actions; action ids then count from the first action segment.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/window_source.h"
#include "models/objective.h"
#include "models/train_step.h"
#include "worker/rundir/run_spec.h"

namespace allometry::trainer {

class Batches {
 public:
  // Opens the dataset of the identity. FailedPrecondition where it is another one than the run was
  // submitted with, or does not fit the model's shape.
  static absl::StatusOr<std::unique_ptr<Batches>> Open(const std::string& data_dir,
                                                       const rundir::RunSpec& spec);

  const models::Objective& objective() const { return objective_; }
  int64_t heldout_windows() const { return sources_.heldout_count; }
  // Of those that are evaluated together (training.h).
  int64_t evaluation_group() const;

  // Reads windows first .. first + count - 1; those read before are gone.
  absl::Status ReadTrain(int64_t first, int64_t count) {
    return Read(*sources_.train, first, count);
  }
  absl::Status ReadHeldout(int64_t first, int64_t count) {
    return Read(*sources_.heldout, first, count);
  }
  // Of the windows read, `count` from number `begin`. Valid until the next are read.
  models::Batch Slice(int64_t begin, int64_t count) const;

  // Entropy in nats of the class of the held-out targets: the loss of `super` by chance.
  absl::StatusOr<double> HeldoutClassEntropy();

 private:
  Batches(const rundir::Shape& shape, data::WindowSources sources, models::Objective objective);
  absl::Status Read(const data::WindowSource& source, int64_t first, int64_t count);
  absl::Status ReadActions(int64_t count);

  const rundir::Shape shape_;
  const data::WindowSources sources_;
  const models::Objective objective_;
  const bool sees_images_;
  int64_t window_tokens_;                     // of the dataset's windows
  int64_t first_action_ = 0;                  // id
  std::vector<int32_t> action_ends_;          // from first_action_; empty for families of tokens
  std::vector<int32_t> tokens_, successors_;  // windows as the source gives them
  std::vector<int32_t> inputs_, targets_;     // as the family takes them
  std::vector<uint8_t> images_;
};

}  // namespace allometry::trainer
