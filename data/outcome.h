// What an action led to, as one token of a frame: the sign of the reward and whether the episode
// ended. Its id within the segment "outcome" is
//
//   3 * end + sign(reward) + 1,   one of kOutcomes
//
// Rewards are clipped to their signs, as usual for agents in learned models (Micheli et al. 2023).
#pragma once

namespace allometry::data {

// Stored in datasets: do not change.
inline constexpr int kOutcomes = 6;

constexpr int OutcomeOf(double reward, bool end) {
  return 3 * (end ? 1 : 0) + (reward > 0 ? 2 : reward < 0 ? 0 : 1);
}
// -1, 0 or 1.
constexpr int RewardOf(int outcome) { return outcome % 3 - 1; }
constexpr bool IsEnd(int outcome) { return outcome >= 3; }

}  // namespace allometry::data
