// Strata: a world in layers, made to have scaling laws that are known in advance.
//
// A torus of 64 x 64 cells is tiled with 4 x 4 prefabs, each drawn from a library of K by Zipf's
// law p_k ~ k^-(1 + alpha). A model that knows the m commonest prefabs pays for the tail alone,
// whose mass falls as m^-alpha (Hutter 2021 gives the same for data): exponents are dialled, not
// found. Nothing of a library is stored: prefab k is a hash of (universe, k).
//
// A cell shows one of eight tiles. Four kinds of things happen:
// - movers: a prefab may have one. It walks along a row of its prefab, a ring of four ground cells:
//   `periodic` one cell east a step; `directed` east or west with the season; `random` stays with
//   chance 1/2, otherwise east or west. All look alike: the prefab tells the kind.
// - the season, two values, turns with chance 1/16 a step. The agent's tile shows it.
// - the agent stands in the middle of its view. It walks (walls block it) and uses one of three
//   items on the cell east of it: walls and resources become what the universe's rule table says,
//   by (tile, item, tile north of the target). Using its key item on a resource is a reward of 1.
// - the demonstrator (policy.h) sees what the view shows and nothing else.
//
// Everything that an action does can be told from the view; so the law of the next view given those
// before is exact in closed form: likelihood.h.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/strata/spec.h"
#include "data/strata/zipf.h"

namespace allometry::strata {

// Stored in datasets: do not renumber.
enum Tile : uint8_t {
  kGround = 0,
  kWall = 1,
  kResource = 2,  // and 3, 4: three kinds
  kMover = 5,
  kAgent = 6,  // in season 0; 7 in season 1
};
inline constexpr int kTiles = 8;
inline constexpr int kResources = 3;

// Stored in datasets: do not renumber.
enum Action : uint8_t {
  kWait = 0,
  kNorth = 1,
  kSouth = 2,
  kWest = 3,
  kEast = 4,
  kUse = 5,  // and 6, 7: with item 0, 1, 2
};
inline constexpr int kItems = 3;
inline constexpr int kActions = kUse + kItems;

inline constexpr int kPrefabSide = 4;
inline constexpr int kWorldSide = 64;
inline constexpr int kWorldPrefabs = kWorldSide / kPrefabSide;  // a side
inline constexpr double kSeasonTurns = 1.0 / 16;

enum class MoverKind : uint8_t { kNone, kPeriodic, kDirected, kRandom };

struct Prefab {
  // The tile of cell (x, y) is nibble 4 y + x; without the mover.
  uint64_t tiles = 0;
  MoverKind mover = MoverKind::kNone;
  uint8_t row = 0;  // the mover's; its cells are ground

  // The tiles with the mover at x = `at`.
  uint64_t With(int at) const {
    return tiles | static_cast<uint64_t>(kMover) << 4 * (kPrefabSide * row + at);
  }
};

// What an action does to the world, told from the view alone.
struct Effect {
  int dx = 0, dy = 0;     // of the agent
  bool rewrites = false;  // the cell east of the agent
  uint8_t tile = 0;       // to this
  double reward = 0;
};

class World {
 public:
  // Of the spec's first universe.
  explicit World(const Spec& spec);

  const Spec& spec() const { return spec_; }
  int view_side() const { return static_cast<int>(spec_.view); }
  int view_cells() const { return view_side() * view_side(); }
  // Place of the agent in a view, in both directions.
  int centre() const { return view_side() / 2; }

  const Zipf& zipf() const { return zipf_; }
  Prefab PrefabOf(int64_t k) const;

  // `view`: view_cells() tiles, row by row from the north-west.
  Effect EffectOf(std::span<const uint8_t> view, int action) const;

  // The item that harvests resource 0 .. 2.
  int KeyItem(int resource) const { return key_items_[static_cast<size_t>(resource)]; }

  // Of an episode; `number` is any number, train and held-out ones being disjoint ranges.
  uint64_t EpisodeKey(uint64_t number) const;
  uint64_t palette_key() const { return palette_key_; }

 private:
  uint8_t Rule(int tile, int item, int north) const;
  void MakeRules(uint64_t own, uint64_t shared);

  Spec spec_;
  Zipf zipf_;
  uint64_t own_library_, shared_library_, sharing_, palette_key_, episodes_;
  std::array<uint8_t, kTiles* kItems* kTiles> rules_ = {};
  std::array<int, kResources> key_items_ = {};
};

// One for each universe of the spec. Episode `number` plays in that of number mod their count.
std::vector<World> WorldsOf(const Spec& spec);

// Where a mover is next, of `kTurns` equally likely turns: random ones have four (stay, stay, east,
// west), the others one.
int MoverTurns(MoverKind kind);
int MoverNext(MoverKind kind, int at, int season, int turn);

}  // namespace allometry::strata
