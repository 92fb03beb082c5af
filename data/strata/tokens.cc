#include "data/strata/tokens.h"

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "data/strata/world.h"

namespace allometry::strata {
namespace {

constexpr int kBlockIds = 4096;

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Create(int64_t view, int64_t zo) {
  Tokenizer tokenizer;
  for (const int block : {1, 2, 4}) {
    if (view * view != zo * block * block) continue;
    tokenizer.side_ = static_cast<int>(view);
    tokenizer.block_ = block;
    tokenizer.blocks_ = tokenizer.side_ / block;
    tokenizer.vocabulary_ = block == 1 ? kTiles : kBlockIds;
    return tokenizer;
  }
  return absl::InvalidArgumentError(absl::StrFormat("zo=%d: allowed with view=%d are %d, %d and %d",
                                                    zo, view, view * view, view * view / 4,
                                                    view * view / 16));
}

void Tokenizer::Encode(std::span<const uint8_t> view, std::span<int32_t> out) const {
  ALLO_CHECK(static_cast<int>(view.size()) == side_ * side_ &&
             static_cast<int>(out.size()) == tokens());
  const uint8_t* cells = view.data();
  int32_t* to = out.data();
  if (block_ == 1) {
    for (const uint8_t tile : view) *to++ = tile;
    return;
  }
  for (int y = 0; y < side_; y += block_) {
    for (int x = 0; x < side_; x += block_) {
      const uint8_t* corner = cells + y * side_ + x;
      uint64_t bits = 0;
      for (int row = 0; row < block_; ++row) {
        for (int column = 0; column < block_; ++column) bits = bits << 3 | corner[column];
        corner += side_;
      }
      // Multiplicative hashing (Knuth 6.4) for what does not fit.
      *to++ = static_cast<int32_t>(block_ == 2 ? bits : bits * 0x9e3779b97f4a7c15 >> 52);
    }
  }
}

}  // namespace allometry::strata
