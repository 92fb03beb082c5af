#include "data/strata/world.h"

#include "base/check.h"
#include "data/strata/draws.h"

namespace allometry::strata {
namespace {

// Purposes of keys. Part of every dataset: do not renumber.
enum Purpose : uint64_t {
  kLibrary = 1,
  kSharedLibrary = 2,
  kSharing = 3,
  kRules = 4,
  kSharedRules = 5,
  kPalette = 6,
  kEpisodes = 7,
  kTilesOf = 8,
  kMoverOf = 9,
};
constexpr uint64_t kAllUniverses = 0x5374726174610001;

// Half of the cells are ground, an eighth each walls and the three resources.
constexpr uint8_t kTerrain[8] = {kGround, kGround,       kGround,       kGround,
                                 kWall,   kResource + 0, kResource + 1, kResource + 2};

}  // namespace

World::World(const Spec& spec) : spec_(spec), zipf_(spec.library, 1 + spec.alpha) {
  const uint64_t universe = Mix(kAllUniverses, static_cast<uint64_t>(spec.universe));
  own_library_ = Mix(universe, kLibrary);
  shared_library_ = Mix(kAllUniverses, kSharedLibrary);
  sharing_ = Mix(kAllUniverses, kSharing);
  palette_key_ = Mix(universe, kPalette);
  episodes_ = Mix(Mix(universe, kEpisodes), static_cast<uint64_t>(spec.seed));
  MakeRules(Mix(universe, kRules), Mix(kAllUniverses, kSharedRules));
}

void World::MakeRules(uint64_t own, uint64_t shared) {
  const auto key = [&](uint64_t entry) {
    return Mix(Unit(Mix(sharing_, ~entry)) < spec_.share ? shared : own, entry);
  };
  for (uint64_t resource = 0; resource < kResources; ++resource) {
    key_items_[resource] = static_cast<int>((key(1000 + resource) >> 32) % kItems);
  }
  for (uint64_t entry = 0; entry < rules_.size(); ++entry) {
    const int north = static_cast<int>(entry % kTiles);
    const int item = static_cast<int>(entry / kTiles % kItems);
    const int tile = static_cast<int>(entry / kTiles / kItems);
    ALLO_CHECK(north < kTiles);
    uint8_t& becomes = rules_[entry];
    becomes = static_cast<uint8_t>(tile);
    if (tile < kWall || tile >= kMover) continue;
    const uint64_t draw = key(entry);
    if (tile >= kResource && item == KeyItem(tile - kResource)) {
      becomes = (draw & 1) != 0 ? kGround : kWall;
    } else if ((draw & 1) != 0) {
      becomes = kTerrain[draw >> 8 & 7];
    }
  }
}

uint8_t World::Rule(int tile, int item, int north) const {
  return rules_[static_cast<size_t>((tile * kItems + item) * kTiles + north)];
}

Prefab World::PrefabOf(int64_t k) const {
  const auto number = static_cast<uint64_t>(k);
  const uint64_t library =
      Unit(Mix(sharing_, number)) < spec_.share ? shared_library_ : own_library_;
  const uint64_t key = Mix(library, number);
  Prefab prefab;
  uint64_t bits = Mix(key, kTilesOf);
  for (int cell = 0; cell < kPrefabSide * kPrefabSide; ++cell, bits >>= 3) {
    prefab.tiles |= static_cast<uint64_t>(kTerrain[bits & 7]) << 4 * cell;
  }
  const uint64_t mover = Mix(key, kMoverOf);
  if (Unit(mover) >= spec_.movers) return prefab;
  const uint64_t kind = Mix(mover, 0);
  prefab.mover = Unit(kind) < spec_.noise ? MoverKind::kRandom
                 : (kind & 1) != 0        ? MoverKind::kPeriodic
                                          : MoverKind::kDirected;
  prefab.row = static_cast<uint8_t>(Mix(mover, 1) % kPrefabSide);
  prefab.tiles &= ~(uint64_t{0xffff} << 16 * prefab.row);
  return prefab;
}

Effect World::EffectOf(std::span<const uint8_t> view, int action) const {
  const int side = view_side();
  const auto at = [&](int dx, int dy) {
    return view[static_cast<size_t>((centre() + dy) * side + centre() + dx)];
  };
  Effect effect;
  if (action >= kUse) {
    const int item = action - kUse;
    const uint8_t tile = at(1, 0);
    const uint8_t becomes = Rule(tile, item, at(1, -1));
    effect.rewrites = becomes != tile;
    effect.tile = becomes;
    const bool resource = tile >= kResource && tile < kMover;
    effect.reward = resource && KeyItem(tile - kResource) == item ? 1 : 0;
    return effect;
  }
  const int dx = action == kEast ? 1 : action == kWest ? -1 : 0;
  const int dy = action == kSouth ? 1 : action == kNorth ? -1 : 0;
  if (action == kWait || at(dx, dy) == kWall) return effect;
  effect.dx = dx;
  effect.dy = dy;
  return effect;
}

uint64_t World::EpisodeKey(uint64_t number) const { return Mix(episodes_, number); }

std::vector<World> WorldsOf(const Spec& spec) {
  std::vector<World> worlds;
  for (int64_t i = 0; i < spec.universes; ++i) {
    Spec one = spec;
    one.universe += i;
    worlds.emplace_back(one);
  }
  return worlds;
}

int MoverTurns(MoverKind kind) { return kind == MoverKind::kRandom ? 4 : 1; }

int MoverNext(MoverKind kind, int at, int season, int turn) {
  constexpr int kRandomSteps[4] = {0, 0, 1, 3};
  const int step = kind == MoverKind::kPeriodic   ? 1
                   : kind == MoverKind::kDirected ? (season == 0 ? 1 : 3)
                   : kind == MoverKind::kRandom   ? kRandomSteps[turn]
                                                  : 0;
  return (at + step) % kPrefabSide;
}

}  // namespace allometry::strata
