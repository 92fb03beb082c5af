// What an agent has played, and the sequences that a world model is trained on.
//
// Step t: the image that was seen, the action taken there, what it gave. Step t + 1 is of another
// episode where step t has the flag `stop`. A place is the first step of a sequence of S + 1 steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/twm/world_model.h"

namespace allometry::models::twm {

// `count` different places below visits.size(), drawn without replacement with the chances of
// equation 11, p_i = softmax_i(-v_i / temperature); a temperature of 0 is uniform. By the largest
// of -v_i / temperature + Gumbel noise (Yellott 1977); a function of (visits, seed), in the order
// drawn. `count` is at most visits.size().
std::vector<int64_t> DrawPlaces(std::span<const float> visits, double temperature, int64_t count,
                                uint64_t seed);

struct PlayedStep {
  uint8_t action = 0;
  float reward = 0;
  bool terminal = false;  // the episode ended, or a life was lost
  bool stop = false;      // that, or it was cut off: the next step is of another episode
  bool begins = false;    // the first step of a game: no earlier image is stacked below its own
};

class Replay {
 public:
  // For at most `capacity` steps.
  explicit Replay(int64_t capacity);

  int64_t size() const { return static_cast<int64_t>(steps_.size()); }
  // `image`: 64 x 64 bytes, row by row.
  void Add(const PlayedStep& step, std::span<const uint8_t> image);
  const PlayedStep& step(int64_t t) const { return steps_[static_cast<size_t>(t)]; }

  // How often each step was drawn as a place; [capacity].
  std::span<float> visits() { return visits_; }
  std::span<const float> visits() const { return visits_; }

  // Places of sequences of `steps` steps and one more, by their visits; `counts` raises those.
  std::vector<int64_t> Draw(int64_t steps, double temperature, int64_t count, uint64_t seed,
                            bool counts);
  Sequences Gather(std::span<const int64_t> places, int64_t steps) const;

 private:
  // The newest four images at step t, as [4, 64, 64] numbers in [0, 1].
  void Stack(int64_t t, float* out) const;

  std::vector<PlayedStep> steps_;
  std::vector<int64_t> first_of_game_;  // of each step
  std::vector<uint8_t> images_;
  std::vector<float> visits_;
};

}  // namespace allometry::models::twm
