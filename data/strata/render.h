// A view as an image: each tile a sprite of 2, 4 or 8 pixels a side in the universe's palette.
//
// The sprites are drawn at 8 x 8 from a hash of (universe, tile): a background and marks in two
// other colours; smaller ones take every second or fourth pixel of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/strata/world.h"

namespace allometry::strata {

class Renderer {
 public:
  // `pixels` of an image's side: 2, 4 or 8 times the view (checked).
  Renderer(const World& world, int pixels);

  int64_t bytes() const { return int64_t{3} * pixels_ * pixels_; }

  // `out`: bytes() of RGB, row by row.
  void Draw(std::span<const uint8_t> view, std::span<uint8_t> out) const;

 private:
  int side_;    // of the view, cells
  int sprite_;  // pixels of a cell's side
  int pixels_;
  std::vector<uint8_t> sprites_;  // [kTiles, sprite, sprite, 3]
};

}  // namespace allometry::strata
