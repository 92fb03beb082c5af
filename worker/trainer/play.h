// Whole episodes of an environment, played to their ends, and what they are worth.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "environments/environment.h"
#include "worker/trainer/agent_world.h"
#include "worker/trainer/curve_log.h"

namespace allometry::trainer {

// What a player is told of a step: the tokens of each copy's observation [copies, tokens], and the
// rewards and flags (environments/environment.h) of the step that led to it, 0 at the start.
struct Moment {
  int64_t time = 0;  // steps of the episode so far
  std::span<const int32_t> tokens;
  std::span<const float> rewards;
  std::span<const uint8_t> flags;
};
// Sets each copy's action. Copies whose episode is over take any.
using Player = std::function<absl::Status(const Moment& now, std::span<uint8_t> actions)>;

// Of each episode played.
struct Played {
  std::vector<double> returns;  // sums of rewards
  double signs = 0;             // of the rewards, over all steps
  double steps = 0;
};

// Plays the episodes `first`, `first` + 1, .. one in each copy. None is longer than half an hour of
// an Atari game, 27,000 steps (Bellemare et al. 2013).
absl::StatusOr<Played> Play(environments::Environment& environment, const Observer& observer,
                            int64_t tokens, int64_t first, const Player& player);

// What an expert and random play get: those of Strata's world for a name `strata:...`, otherwise
// the dataset's; unset where neither says.
std::optional<data::Returns> ReturnScale(const std::string& environment,
                                         const data::Manifest& manifest);

// `return`, its standard error `return_se` (of two episodes and more), `real_reward`, the mean sign
// of a step's reward, and with a scale `s_ern` = (return - random) / (expert - random).
void LogReturns(const Played& played, const std::optional<data::Returns>& scale, int64_t step,
                CurveLog& curve);

}  // namespace allometry::trainer
