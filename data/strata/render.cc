#include "data/strata/render.h"

#include <cstring>

#include "base/check.h"
#include "data/strata/draws.h"

namespace allometry::strata {
namespace {

constexpr int kSprite = 8;

// Colour channel `channel` of pixel (x, y) of a tile's sprite: a pixel in four is a mark.
uint8_t Pixel(uint64_t palette, int tile, int x, int y, int channel) {
  const uint64_t sprite = Mix(palette, static_cast<uint64_t>(tile));
  const uint64_t at = Mix(sprite, static_cast<uint64_t>(8 + y * kSprite + x));
  const uint64_t colour = (at & 3) != 0 ? 0 : 1 + (at >> 2 & 1);
  return static_cast<uint8_t>(Mix(sprite, colour) >> 8 * channel);
}

}  // namespace

Renderer::Renderer(const World& world, int pixels)
    : side_(world.view_side()), sprite_(pixels / side_), pixels_(pixels) {
  ALLO_CHECK(sprite_ * side_ == pixels && (sprite_ == 2 || sprite_ == 4 || sprite_ == 8)) << pixels;
  const int step = kSprite / sprite_;
  for (int tile = 0; tile < kTiles; ++tile) {
    for (int y = 0; y < sprite_; ++y) {
      for (int x = 0; x < sprite_; ++x) {
        for (int channel = 0; channel < 3; ++channel) {
          sprites_.push_back(Pixel(world.palette_key(), tile, x * step, y * step, channel));
        }
      }
    }
  }
}

void Renderer::Draw(std::span<const uint8_t> view, std::span<uint8_t> out) const {
  ALLO_CHECK(static_cast<int>(view.size()) == side_ * side_ &&
             static_cast<int64_t>(out.size()) == bytes());
  const auto row_bytes = static_cast<size_t>(3 * sprite_);
  uint8_t* to = out.data();
  for (int y = 0; y < pixels_; ++y) {
    const uint8_t* tiles = view.data() + y / sprite_ * side_;
    const uint8_t* row = sprites_.data() + static_cast<size_t>(y % sprite_) * row_bytes;
    for (int x = 0; x < side_; ++x) {
      std::memcpy(to, row + tiles[x] * static_cast<size_t>(sprite_) * row_bytes, row_bytes);
      to += row_bytes;
    }
  }
}

}  // namespace allometry::strata
