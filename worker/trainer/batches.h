// What a run reads: its dataset's windows as batches of its model family, under its objective.
//
// A family of tokens takes a window's ids as they are. A family of frames (models/shape.h) takes
// of each frame its image, the actions of the frame before (-1 at a window's first) and, as
// targets, its own actions; action ids then count from the first action segment.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/window_source.h"
#include "models/objective.h"
#include "models/train_step.h"
#include "run/run_spec.h"

namespace allometry::trainer {

// The windows that the run reads: its dataset's, as tokens of its tokenizer where it has one.
// Errors as of Batches::Open.
absl::StatusOr<data::WindowSources> OpenWindowsOf(const std::string& run_dir,
                                                  const std::string& data_dir,
                                                  const run::RunSpec& spec);

// Tokens of a frame; both 0 where the dataset has none.
models::FrameTokens FrameTokensOf(const data::Manifest& manifest);

// By id, 1 for the outcomes with a reward: what rewards are foreseen by. Empty where the dataset
// has no outcomes.
std::vector<uint8_t> RewardClasses(const run::Shape& shape, const data::Manifest& manifest);

class Batches {
 public:
  // Opens the dataset of the identity: its images where the run trains a tokenizer, its tokens or
  // those of the run's tokenizer otherwise. FailedPrecondition where it is another one than the run
  // was submitted with, or does not fit the model's shape.
  static absl::StatusOr<std::unique_ptr<Batches>> Open(const std::string& run_dir,
                                                       const std::string& data_dir,
                                                       const run::RunSpec& spec);
  virtual ~Batches() = default;

  virtual const models::Objective& objective() const = 0;
  virtual int64_t heldout_windows() const = 0;
  // Of a union those whose windows are read; otherwise empty. Whose held-out window `window` is, as
  // a place in them.
  virtual const std::vector<std::string>& members() const = 0;
  virtual int64_t MemberOf(int64_t window) const = 0;
  // Of those that are evaluated together (training.h).
  virtual int64_t evaluation_group() const = 0;

  // Reads windows first .. first + count - 1; those read before are gone.
  virtual absl::Status ReadTrain(int64_t first, int64_t count) = 0;
  virtual absl::Status ReadHeldout(int64_t first, int64_t count) = 0;
  // Of the windows read, `count` from number `begin`. Valid until the next are read.
  virtual models::Batch Slice(int64_t begin, int64_t count) const = 0;

  // 1 for the ids of outcomes with a reward (data/outcome.h), 0 for all others; empty where the
  // dataset's frames have no outcome.
  virtual std::span<const uint8_t> reward_classes() const = 0;

  // Entropy in nats of the class of the held-out targets: the loss of `super` by chance.
  virtual absl::StatusOr<double> HeldoutClassEntropy() = 0;
};

}  // namespace allometry::trainer
