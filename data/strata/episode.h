// One episode: a world made as far as it is seen, and what happens in it.
//
//   for (Episode episode(world, number);; ) {
//     ... episode.view() ...
//     reward += episode.Step(episode.Demonstrate());
//   }
//
// A function of (spec, number) and of the actions: every draw is a hash of what it is for. Cells
// are made when they come into view; their movers are then anywhere on their rings, as they always
// are.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/strata/world.h"

namespace allometry::strata {

// Numbers of episodes below this are for training, those from it on are held out, those from twice
// it on are for measuring entropy and returns.
inline constexpr uint64_t kHeldoutEpisodes = uint64_t{1} << 40;
inline constexpr uint64_t kMeasuredEpisodes = uint64_t{1} << 41;

class Episode {
 public:
  // In its first frame. `world` must outlive it.
  Episode(const World& world, uint64_t number);

  // view_cells() tiles, row by row from the north-west; the agent's in the middle.
  std::span<const uint8_t> view() const {
    return std::span(view_).first(static_cast<size_t>(world_.view_cells()));
  }
  int64_t frame() const { return frame_; }
  int season() const { return season_; }

  // The action that the episode's demonstrator takes in this frame.
  int Demonstrate() const;

  // Acts, and goes to the next frame. Returns the reward.
  double Step(int action);

  // What no view shows. x and y in cells; PrefabAt of a cell that has been in view.
  int x() const { return x_; }
  int y() const { return y_; }
  int goal() const { return goal_; }
  double skill() const { return skill_; }
  int64_t PrefabAt(int x, int y) const;

 private:
  struct Mover {
    int16_t row_begin;  // cell of its row's west end
    int16_t slot;
    MoverKind kind;
    uint8_t at;
  };

  void Reveal();  // makes the cells in view
  void Make(int slot_x, int slot_y);
  void MoveMovers(uint64_t step_key);
  void UpdateView();  // cells to view_

  const World& world_;
  uint64_t key_;
  uint64_t slots_key_;
  int x_, y_;
  int season_;
  int goal_;
  double skill_;
  int64_t frame_ = 0;
  std::array<uint8_t, kWorldSide * kWorldSide> cells_;
  std::array<int32_t, kWorldPrefabs * kWorldPrefabs> prefabs_;  // -1: not made
  std::vector<Mover> movers_;
  std::array<uint8_t, 256> view_;
};

}  // namespace allometry::strata
