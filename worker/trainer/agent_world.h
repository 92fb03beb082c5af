// What an agent is trained in: rows of steps, each a frame's tokens, the reward and whether the
// episode ended. A learned model and the real environment look alike.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/window_source.h"
#include "environments/environment.h"
#include "worker/trainer/model_file.h"
#include "worker/trainer/tokenizer_file.h"

namespace allometry::trainer {

class AgentWorld {
 public:
  virtual ~AgentWorld() = default;

  // The first frames of update `update` (from 1): observations [rows, tokens].
  virtual absl::Status Begin(int64_t update, std::span<int32_t> observations) = 0;
  // Acts in every row. Rewards are signs; `ends` is 1 where the episode is over. What follows an
  // end in its row means nothing.
  virtual absl::Status Step(std::span<const uint8_t> actions, std::span<double> rewards,
                            std::span<uint8_t> ends, std::span<int32_t> observations) = 0;

  // What a checkpoint must hold to go on from here, in a buffer of `state_size` floats.
  virtual int64_t state_size() const { return 0; }
  virtual absl::Status Restore(std::span<const float> /*state*/) { return absl::OkStatus(); }
  virtual void Save(std::span<float> /*state*/) const {}
};

// How many rows, and where a row begins.
struct StartOptions {
  int64_t rows = 0;
  int64_t burn = 0;     // real frames that the model has seen when the agent acts first
  int64_t horizon = 0;  // steps
  int64_t seed = 0;
};

// Imagined: row r of update u continues window (u - 1) rows + r of the train split, `burn` of its
// frames from a random one on, with outcomes and observations sampled from the model. A function of
// (model, dataset, seed, update, actions). `model` and `sources` outlive it.
absl::StatusOr<std::unique_ptr<AgentWorld>> CreateImaginedWorld(const ModelFile& model,
                                                                const data::WindowSources& sources,
                                                                const StartOptions& options);

// The tokens of what an environment shows: its own, or its images through the tokenizer (which may
// be null). FailedPrecondition where it is no environment of the dataset.
class Observer {
 public:
  static absl::StatusOr<Observer> Create(const environments::Interface& interface,
                                         const data::Manifest& manifest,
                                         const TokenizerFile* tokenizer);
  void Tokens(const environments::Observations& seen, std::span<int32_t> tokens) const;

 private:
  const TokenizerFile* tokenizer_ = nullptr;
};

// Episodes of the real environment from kTrainingEpisodes on, each row's one after the other; what
// is cut off counts as ended.
inline constexpr int64_t kTrainingEpisodes = int64_t{1} << 20;
std::unique_ptr<AgentWorld> CreateRealWorld(std::unique_ptr<environments::Environment> environment,
                                            const Observer& observer, int64_t most_steps);

}  // namespace allometry::trainer
