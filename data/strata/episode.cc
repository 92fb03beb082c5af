#include "data/strata/episode.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "data/strata/draws.h"
#include "data/strata/policy.h"

namespace allometry::strata {
namespace {

// Purposes of an episode's keys and of a step's. Part of every dataset: do not renumber.
enum Purpose : uint64_t { kPlace = 1, kFirstSeason, kFirstGoal, kSkill, kSlots, kSteps };
enum StepPurpose : uint64_t { kActionDraw = 1, kSeasonDraw, kGoalDraw, kMoverDraw };

constexpr int kMask = kWorldSide - 1;

int Below(int count, uint64_t key) {
  return static_cast<int>((key >> 32) * static_cast<uint64_t>(count) >> 32);
}

}  // namespace

Episode::Episode(const World& world, uint64_t number)
    : world_(world), key_(world.EpisodeKey(number)), slots_key_(Mix(key_, kSlots)) {
  const uint64_t place = Mix(key_, kPlace);
  x_ = static_cast<int>(place & kMask);
  y_ = static_cast<int>(place >> 8 & kMask);
  season_ = static_cast<int>(Mix(key_, kFirstSeason) & 1);
  goal_ = Below(kResources, Mix(key_, kFirstGoal));
  const std::vector<double>& skills = PolicyNamed(world.spec().policy).skills;
  skill_ = skills[static_cast<size_t>(Below(static_cast<int>(skills.size()), Mix(key_, kSkill)))];
  prefabs_.fill(-1);
  Reveal();
  UpdateView();
}

int64_t Episode::PrefabAt(int x, int y) const {
  const int slot = (y & kMask) / kPrefabSide * kWorldPrefabs + (x & kMask) / kPrefabSide;
  const int32_t prefab = prefabs_[static_cast<size_t>(slot)];
  ALLO_CHECK(prefab >= 0) << "cell " << x << "," << y << " has not been in view";
  return prefab;
}

void Episode::Reveal() {
  const int c = world_.centre(), side = world_.view_side();
  const int west = x_ - c + kWorldSide, north = y_ - c + kWorldSide;  // not negative
  for (int v = north / kPrefabSide; v <= (north + side - 1) / kPrefabSide; ++v) {
    for (int u = west / kPrefabSide; u <= (west + side - 1) / kPrefabSide; ++u) {
      const int slot_x = u & (kWorldPrefabs - 1), slot_y = v & (kWorldPrefabs - 1);
      if (prefabs_[static_cast<size_t>(slot_y * kWorldPrefabs + slot_x)] < 0) Make(slot_x, slot_y);
    }
  }
}

void Episode::Make(int slot_x, int slot_y) {
  const int slot = slot_y * kWorldPrefabs + slot_x;
  const uint64_t key = Mix(slots_key_, static_cast<uint64_t>(slot));
  const int64_t k = world_.zipf().Draw(key);
  prefabs_[static_cast<size_t>(slot)] = static_cast<int32_t>(k);
  const Prefab prefab = world_.PrefabOf(k);
  uint64_t tiles = prefab.tiles;
  const int corner = slot_y * kPrefabSide * kWorldSide + slot_x * kPrefabSide;
  if (prefab.mover != MoverKind::kNone) {
    const auto at = static_cast<uint8_t>(Mix(key, ~uint64_t{0}) % kPrefabSide);
    tiles = prefab.With(at);
    movers_.push_back({static_cast<int16_t>(corner + prefab.row * kWorldSide),
                       static_cast<int16_t>(slot), prefab.mover, at});
  }
  for (int row = 0; row < kPrefabSide; ++row) {
    for (int column = 0; column < kPrefabSide; ++column, tiles >>= 4) {
      cells_[static_cast<size_t>(corner + row * kWorldSide + column)] = tiles & 15;
    }
  }
}

void Episode::MoveMovers(uint64_t step_key) {
  const uint64_t key = Mix(step_key, kMoverDraw);
  for (Mover& mover : movers_) {
    const int turns = MoverTurns(mover.kind);
    const int turn = turns == 1 ? 0 : Below(turns, Mix(key, static_cast<uint64_t>(mover.slot)));
    cells_[static_cast<size_t>(mover.row_begin + mover.at)] = kGround;
    mover.at = static_cast<uint8_t>(MoverNext(mover.kind, mover.at, season_, turn));
    cells_[static_cast<size_t>(mover.row_begin + mover.at)] = kMover;
  }
}

void Episode::UpdateView() {
  const int c = world_.centre(), side = world_.view_side();
  const int west = (x_ - c) & kMask;
  const auto first = static_cast<size_t>(std::min(side, kWorldSide - west));
  const size_t rest = static_cast<size_t>(side) - first;
  for (int row = 0; row < side; ++row) {
    const uint8_t* from = cells_.data() + ((y_ - c + row) & kMask) * kWorldSide;
    uint8_t* to = view_.data() + row * side;
    std::memcpy(to, from + west, first);
    std::memcpy(to + first, from, rest);
  }
  view_[static_cast<size_t>(c * side + c)] = static_cast<uint8_t>(kAgent + season_);
}

int Episode::Demonstrate() const {
  const uint64_t step_key = Mix(Mix(key_, kSteps), static_cast<uint64_t>(frame_));
  return DrawAction(world_, view(), goal_, skill_, Mix(step_key, kActionDraw));
}

double Episode::Step(int action) {
  const uint64_t step_key = Mix(Mix(key_, kSteps), static_cast<uint64_t>(frame_));
  const Effect effect = world_.EffectOf(view(), action);
  if (effect.rewrites) {
    cells_[static_cast<size_t>(y_ * kWorldSide + ((x_ + 1) & kMask))] = effect.tile;
  }
  x_ = (x_ + effect.dx) & kMask;
  y_ = (y_ + effect.dy) & kMask;
  MoveMovers(step_key);
  if (Unit(Mix(step_key, kSeasonDraw)) < kSeasonTurns) season_ = 1 - season_;
  const uint64_t goal = Mix(step_key, kGoalDraw);
  if (Unit(goal) < kGoalTurns) goal_ = Below(kResources, Mix(goal, 1));
  ++frame_;
  Reveal();
  UpdateView();
  return effect.reward;
}

}  // namespace allometry::strata
