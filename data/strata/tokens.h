// A view as tokens: blocks of block x block cells, row by row.
//
//   view  zo   block  ids
//   16    256  1      8     the tiles
//   16    64   2      4096  four tiles, three bits each: nothing is lost
//   16    16   4      4096  a hash of sixteen tiles: views that differ may have equal tokens
//   8     64   1      8
//   8     16   2      4096
//   8     4    4      4096  hashed
//
// Where nothing is lost the entropy of tokens is that of views. Of hashed ones it is at most that.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"

namespace allometry::strata {

class Tokenizer {
 public:
  // InvalidArgument lists the allowed zo.
  static absl::StatusOr<Tokenizer> Create(int64_t view, int64_t zo);

  int tokens() const { return blocks_ * blocks_; }
  int vocabulary() const { return vocabulary_; }
  int block() const { return block_; }
  bool lossless() const { return block_ < 4; }

  // `view`: view x view tiles; `out`: tokens() ids.
  void Encode(std::span<const uint8_t> view, std::span<int32_t> out) const;

 private:
  Tokenizer() = default;
  int side_ = 0;
  int block_ = 0;
  int blocks_ = 0;  // a side
  int vocabulary_ = 0;
};

}  // namespace allometry::strata
