#include "data/strata/policy.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "data/strata/draws.h"

namespace allometry::strata {
namespace {

struct Place {
  int8_t dx, dy;
  int16_t index;  // in the view
  int16_t steps;  // to the cell west of it
};

// Cells of a view by the steps that it takes to stand west of them; those of the western edge have
// no such cell in view.
std::vector<Place> SearchOrder(int side) {
  std::vector<Place> order;
  const int centre = side / 2;
  for (int y = 0; y < side; ++y) {
    for (int x = 1; x < side; ++x) {
      const int dx = x - centre, dy = y - centre;
      if (dx == 0 && dy == 0) continue;
      order.push_back({static_cast<int8_t>(dx), static_cast<int8_t>(dy),
                       static_cast<int16_t>(y * side + x),
                       static_cast<int16_t>(std::abs(dx - 1) + std::abs(dy))});
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Place& a, const Place& b) { return a.steps < b.steps; });
  return order;
}

const std::vector<Place>& OrderFor(int side) {
  static const auto& small = *new std::vector<Place>(SearchOrder(8));
  static const auto& large = *new std::vector<Place>(SearchOrder(16));
  return side == 8 ? small : large;
}

}  // namespace

int GoalAction(const World& world, std::span<const uint8_t> view, int goal) {
  const int side = world.view_side();
  const auto wanted = static_cast<uint8_t>(kResource + goal);
  const auto is_wall = [&](int dx, int dy) {
    const int c = world.centre();
    return view[static_cast<size_t>((c + dy) * side + c + dx)] == kWall;
  };
  for (const Place& place : OrderFor(side)) {
    const auto index = static_cast<size_t>(place.index);
    if (view[index] != wanted || view[index - 1] == kWall) continue;
    const int dx = place.dx - 1, dy = place.dy;
    if (dx == 0 && dy == 0) return kUse + world.KeyItem(goal);
    const int along_x = dx > 0 && !is_wall(1, 0) ? kEast : dx < 0 && !is_wall(-1, 0) ? kWest : -1;
    const int along_y = dy > 0 && !is_wall(0, 1) ? kSouth : dy < 0 && !is_wall(0, -1) ? kNorth : -1;
    const bool x_first = std::abs(dx) >= std::abs(dy);
    const int first = x_first ? along_x : along_y, second = x_first ? along_y : along_x;
    return first >= 0 ? first : second >= 0 ? second : kAnyMove;
  }
  return kAnyMove;
}

std::array<double, kActions> ActionLaw(const World& world, std::span<const uint8_t> view, int goal,
                                       double skill) {
  std::array<double, kActions> law;
  law.fill((1 - skill) / kActions);
  const int action = GoalAction(world, view, goal);
  if (action != kAnyMove) {
    law[static_cast<size_t>(action)] += skill;
  } else {
    for (const int move : {kNorth, kSouth, kWest, kEast}) {
      law[static_cast<size_t>(move)] += skill / 4;
    }
  }
  return law;
}

int DrawAction(const World& world, std::span<const uint8_t> view, int goal, double skill,
               uint64_t key) {
  const uint64_t which = Mix(key, 1);
  if (Unit(key) >= skill) return static_cast<int>(which >> 61);
  const int action = GoalAction(world, view, goal);
  return action != kAnyMove ? action : kNorth + static_cast<int>(which >> 62);
}

ActionFilter::ActionFilter(const World& world)
    : world_(world), skills_(PolicyNamed(world.spec().policy).skills) {
  weights_.resize(skills_.size());
  for (auto& of_skill : weights_) {
    of_skill.fill(1.0 / static_cast<double>(skills_.size() * kResources));
  }
}

double ActionFilter::Observe(std::span<const uint8_t> view, int action) {
  double total = 0;
  for (size_t s = 0; s < skills_.size(); ++s) {
    for (int goal = 0; goal < kResources; ++goal) {
      double& weight = weights_[s][static_cast<size_t>(goal)];
      weight *= ActionLaw(world_, view, goal, skills_[s])[static_cast<size_t>(action)];
      total += weight;
    }
  }
  for (auto& of_skill : weights_) {
    double sum = 0;
    for (const double weight : of_skill) sum += weight;
    for (double& weight : of_skill) {
      weight = ((1 - kGoalTurns) * weight + kGoalTurns * sum / kResources) / total;
    }
  }
  return std::log(total);
}

}  // namespace allometry::strata
