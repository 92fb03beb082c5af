// What counts as loss: which positions of a window are supervised, and whether a token or its class
// is to be predicted. One row of a table each; D counts all inputs whatever the objective.
//
// With x_1 .. x_T a window and x_{T+1} its successor, y_i = x_{i+1}, p_i = softmax(logits_i):
//
//   dense        L = -(1/T) sum_i log p_i(y_i)
//   sparse       L = -log p_T(y_T)
//   super        L = -log sum over v with s(v) = s(y_T) of p_T(v), s a random balanced map of the
//                vocabulary to two classes
//   observation  L = -sum_i m_i log p_i(y_i) / sum_i m_i, m_i = 1 where y_i is an observation token
//   action       the same with m_i = 1 where y_i is an action token
//   world        L = L_obs + L_out, L_obs that of `observation` and L_out the same with m_i = 1
//                where y_i is an outcome token
//
// (Pearce et al. 2025, sections 3 and 5.1: WM-Token is `observation`, BC-Token `action`. The sum of
// the two means: Micheli et al. 2023; one outcome among d_z + 1 tokens would be drowned in one
// mean.) The last three are for windows of K whole frames [z^1 .. z^{d_z}, a^1 .. a^{d_a}, e] that
// begin on a frame boundary, the outcome e being there or not (data/outcome.h); so the mask is a
// function of the position alone. The last position's successor belongs to the frame after the
// window and is masked, and the first token of a window has no predictor: K d_z - 1 positions are
// supervised for `observation`, K d_a for `action`, and K more outcomes for `world`. For the same
// reason `dense` over frames leaves the last position out, and `sparse` and `super` are not for
// frames. What is held out and fitted of `world` is L_obs, so that it compares with `observation`.
//
// Chance for `super` is the entropy of the class of a token, not ln 2: a balanced map of ids is not
// balanced over text (ClassEntropy).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::models {

struct ObjectiveRow {
  const char* name;  // stored in runs' identities: do not rename
  const char* what;
  bool needs_frames;
  bool takes_seed;
};
std::span<const ObjectiveRow> Objectives();

// By name; "" is the first row, dense. InvalidArgument lists the names.
absl::StatusOr<ObjectiveRow> FindObjective(absl::string_view name);

// Tokens of a frame; all 0 where a dataset has no frames.
struct FrameTokens {
  int observation = 0;
  int action = 0;
  int outcome = 0;

  int total() const { return observation + action + outcome; }
};

// A target that does not count: no loss, and exactly zero gradient from its position.
inline constexpr int32_t kMasked = -1;

class Objective {
 public:
  // InvalidArgument where the objective needs frames and the window is not whole frames, where it
  // needs the token after a window that ends with its frame, or no position would count. `seed`
  // keys the map of `super`; the others ignore it.
  static absl::StatusOr<Objective> Create(absl::string_view name, int64_t seed, int vocabulary,
                                          int context, const FrameTokens& frame);
  // For families that take one input a frame: every one of the `context` frames counts.
  static Objective OfFrames(int context);
  // For tokenizers of images: an image's loss stands at the first of its `context` positions.
  static Objective OfImages(int context);

  // Of the `context` positions of a window, those that count, ascending; of `world` those of L_obs.
  std::span<const int> supervised() const { return supervised_; }
  // Of `world` the positions of L_out, ascending; otherwise empty.
  std::span<const int> outcomes() const { return outcomes_; }
  // Of `world` the weight of each position's loss in a window's (Batch::weights); otherwise empty.
  std::span<const float> weights() const { return weights_; }
  // Masks the others in whole windows of targets.
  void Mask(std::span<int32_t> targets) const;

  // `super`: the class, 0 or 1, of each id; otherwise empty.
  std::span<const uint8_t> classes() const { return classes_; }

  // Losses are also told by the frame that their target is in, from 0: K frames, or 0 where the
  // objective does not look at frames.
  int frames() const { return frames_; }
  int FrameOf(int position) const { return (position + shift_) / frame_tokens_; }

 private:
  Objective() = default;
  void AddOutcomes(const FrameTokens& frame);

  int context_ = 0;
  int frames_ = 0;
  int frame_tokens_ = 0;
  int shift_ = 1;  // from a position to that of its target
  std::vector<int> supervised_;
  std::vector<int> outcomes_;
  std::vector<float> weights_;
  std::vector<bool> counts_;  // by position
  std::vector<uint8_t> classes_;
};

// A random half of the ids is class 1 (of an odd vocabulary the smaller half): Fisher and Yates's
// shuffle, keyed by `seed`. Part of a run's numbers: do not change.
std::vector<uint8_t> BalancedClasses(int vocabulary, int64_t seed);

// Entropy in nats of the class of a token drawn with the frequencies `counts` (by id).
double ClassEntropy(std::span<const uint8_t> classes, std::span<const int64_t> counts);

}  // namespace allometry::models
