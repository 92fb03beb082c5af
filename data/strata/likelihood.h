// The exact chance of what a window shows.
//
// For views o_1 .. o_T from the first frame of an episode and the actions between them,
//
//   P(o_1 .. o_T | a_1 .. a_{T-1}) = 1/16 sum over phases of P(seasons) prod over slots of P(slot)
//
// A phase is where the prefabs' grid lies in the view, one of 4 x 4. A slot is one place of a
// prefab; slots are independent given the phase: prefab k with chance p_k, its mover anywhere on
// its ring and then a Markov chain of four states that nothing but the season moves. So P(slot) is
// a sum over k of a forward filter, fed with those of its cells that are in view: not the one below
// the agent, and not those that the agent has rewritten, which are known.
//
// Why this is all that an ideal predictor can know: where the agent starts is independent of the
// world; what actions do can be told from views (World::EffectOf); demonstrators act on views and
// on goals and skills that are independent of the world, so that actions tell nothing more about
// cells not yet seen. A view's later tokens follow the earlier ones by the same sum (Observe with
// fewer tokens), so that the chance of a whole view is the product of its tokens' chances whatever
// their order. The torus must not be noticed: windows have at most kMostFrames frames.
//
// Not thread-safe; the tables of a library of a million prefabs take some 60 MB.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "data/strata/tokens.h"
#include "data/strata/world.h"

namespace allometry::strata {

// A prefab as it can look: with its mover at `at`, or at = 0 without one.
struct PrefabAppearance {
  uint64_t tiles = 0;  // nibbles, as in Prefab
  int32_t prefab = 0;
  uint8_t at = 0;
  MoverKind mover = MoverKind::kNone;
  uint8_t row = 0;
  double chance = 0;  // p_k, a quarter of it where there is a mover
};
std::vector<PrefabAppearance> AppearancesOf(const World& world);

class WindowLikelihood {
 public:
  static constexpr int kMostFrames = 40;

  explicit WindowLikelihood(const World& world);

  // Forgets what was shown.
  void Begin();
  // The next view, after `action` was taken in the one before (not looked at for the first). With
  // `tokens`, only the cells of so many first ones are seen, and nothing may follow.
  void Observe(std::span<const uint8_t> view, int action, int64_t tokens = kAllTokens);
  // ln of the chance of everything shown, in nats.
  double LogProbability() const;

 private:
  static constexpr int64_t kAllTokens = int64_t{1} << 40;

  // What is seen of a slot in a frame: nibbles 15 in `mask` where a cell is seen.
  struct VisibleCells {
    uint64_t mask = 0;
    uint64_t tiles = 0;
  };
  // A prefab that may be in a slot: joint chances with all that was seen, by the mover's place.
  struct Candidate {
    uint64_t tiles;
    MoverKind mover;
    uint8_t row;
    std::array<double, kPrefabSide> chance;
  };
  struct Slot {
    std::vector<Candidate> candidates;
    double mass = 0;  // the sum of their chances
  };
  using Place = std::pair<int, int>;  // of a slot or a cell, from the first view's north-west
  struct Phase {
    int x, y;
    bool possible = true;
    std::map<Place, Slot> slots;
  };

  // Cells of `view` by slot, those that tell something.
  std::map<Place, VisibleCells> VisibleCellsIn(std::span<const uint8_t> view, const Phase& phase,
                                               int64_t tokens) const;
  void Advance(Slot& slot, int season) const;
  static void Narrow(const VisibleCells& seen, Slot& slot);
  Slot NewSlot(const VisibleCells& seen) const;
  void ObserveIn(Phase& phase, const std::map<Place, VisibleCells>& seen) const;

  const World& world_;
  const Tokenizer tokenizer_;
  std::vector<PrefabAppearance> appearances_;
  // Numbers of appearances sorted by their two northern rows, and by their two southern ones.
  std::vector<int32_t> by_north_, by_south_;

  std::vector<Phase> phases_;
  std::vector<uint8_t> last_view_;
  int offset_x_ = 0, offset_y_ = 0;  // of the view since the first
  int season_ = 0;
  double season_log_ = 0;
  int frames_ = 0;
  std::map<Place, uint8_t> rewritten_;
};

}  // namespace allometry::strata
