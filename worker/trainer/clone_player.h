// A model of objective `action` as a player: behaviour cloning from tokens (BC-Token, Pearce et al.
// 2025). It reads frame after frame, [z_1 .. z_dz, a, e], as its windows have them; the action is
// sampled at temperature 1 from the softmax over the actions' ids, and where frames have an outcome
// e, that of the real step follows it. Of episodes longer than its context it sees the last K - 1
// whole frames and the present one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "models/decode.h"
#include "models/sliding_decoder.h"
#include "worker/trainer/play.h"

namespace allometry::trainer {

class ClonePlayer {
 public:
  // The action of episode n at time t is drawn with Uniform(seed, n, t). `decoder` and `parameters`
  // outlive it. Frames have one action token.
  ClonePlayer(models::Decoder& decoder, std::span<const float> parameters,
              const data::Manifest& manifest, int64_t context, uint64_t seed);

  // Of the episodes `first` + row. At time 0 it begins anew.
  absl::Status Act(int64_t first, const Moment& now, std::span<uint8_t> actions);

 private:
  models::SlidingDecoder decoder_;
  const std::span<const float> parameters_;
  const models::Segment actions_, outcomes_;  // outcomes_ is empty where frames have none
  const int64_t tokens_;                      // of an observation
  const uint64_t seed_;
  std::vector<float> logits_;
};

}  // namespace allometry::trainer
