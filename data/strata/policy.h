// Demonstrators: who acts in an episode.
//
// A demonstrator has a hidden goal, one of the three resources, redrawn with chance 1/16 a step,
// and a hidden skill s that stays. With chance s it does what its goal asks for, otherwise any of
// the eight actions. It looks at the view and at nothing else, so its actions say nothing about
// what is not in view; many views lead to one action.
//
// For its goal it goes to the west side of the nearest one in view (walls in the way: the other
// axis) and uses the key item. With none in view or no way it makes any of the four moves.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/strata/world.h"

namespace allometry::strata {

inline constexpr double kGoalTurns = 1.0 / 16;
inline constexpr int kAnyMove = -1;

// What the goal asks for: an action, or kAnyMove.
int GoalAction(const World& world, std::span<const uint8_t> view, int goal);

// Chances of the actions of a demonstrator in a frame.
std::array<double, kActions> ActionLaw(const World& world, std::span<const uint8_t> view, int goal,
                                       double skill);

// An action drawn from that law with the numbers under `key`.
int DrawAction(const World& world, std::span<const uint8_t> view, int goal, double skill,
               uint64_t key);

// What actions tell about goal and skill, exactly: the law of the next action given the frames and
// actions before it.
class ActionFilter {
 public:
  explicit ActionFilter(const World& world);

  // ln P(action | view, all before); then takes it in.
  double Observe(std::span<const uint8_t> view, int action);

 private:
  const World& world_;
  std::vector<double> skills_;
  std::vector<std::array<double, kResources>> weights_;  // by skill and goal; they sum to 1
};

}  // namespace allometry::strata
