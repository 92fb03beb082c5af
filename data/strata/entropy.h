// The least losses that models can have on windows of Strata, by exact chances over sampled
// windows.
//
// A window is the first K frames of an episode: o_1 a_1 .. o_K a_K. With T = zo tokens a view:
//
//   world model   E = [H(o_1 .. o_K | a) - H(first token)] / (K T - 1)
//                   = mean entropy of an observation token given all tokens before it in the
//                   window,
//                     over the K T - 1 that have one before them
//   demonstrator  mean entropy of a_t given o_1 a_1 .. o_t, over t = 1 .. K
//
// both with the world's laws known and goal, skill and unseen cells unknown: what an ideal learner
// with this context reaches. H(first token) is computed exactly. H(window) is the mean of
// -ln P(window) (likelihood.h) over windows, with two control variates whose means are exactly 0:
// sums of -ln p_k - H(library) over the prefabs wholly and partly in the first view. They take away
// most of the spread, which comes from how rare the prefabs happen to be.
//
// Only for lossless tokenizers (checked): of hashed views no exact chance is known.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/strata/world.h"

namespace allometry::strata {

struct EntropyOptions {
  int frames = 4;                // of a window, up to WindowLikelihood::kMostFrames
  double standard_error = 1e-3;  // of nats_per_token: windows are added until it is reached
  int64_t least_windows = 256;
  int64_t most_windows = int64_t{1} << 16;
  // Called after each window with how many there are and the standard error that the last decision
  // to go on found (0 before the first); may be null.
  std::function<void(int64_t windows, double standard_error)> progress = nullptr;
};

struct EntropyEstimate {
  double nats_per_token = 0;  // E
  double standard_error = 0;
  double first_token_nats = 0;
  // Of all tokens of the i-th view given the frames before it; over the zo of them.
  std::vector<double> frame_nats_per_token;
  double action_nats = 0;
  double action_standard_error = 0;
  int64_t windows = 0;
};

// A function of (spec, options): the same on every machine, up to rounding.
EntropyEstimate EstimateEntropy(const World& world, const EntropyOptions& options);

// H(first token of a window), exactly.
double FirstTokenEntropy(const World& world);

}  // namespace allometry::strata
