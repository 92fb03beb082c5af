// An observation's tokens as a picture that a network can look at: what features are computed from.
//
//   codes of a tokenizer of images   the codebook's vectors, on the grid of codes
//   tokens of Strata's views         one-hot tiles on the view's cells, where tokens lose nothing
//                                    (data/strata/tokens.h)
//   any other tokens                 a fixed random vector for each id, on a square where they are
//                                    one, otherwise on a line
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "data/manifest.h"
#include "run/run_spec.h"

namespace allometry::trainer {

class ObservationView {
 public:
  // `read` is the manifest of the tokens; `seed` is of the random vectors. Errors are those of
  // reading the run's tokenizer.
  static absl::StatusOr<ObservationView> Create(const std::string& run_dir,
                                                const run::RunSpec& spec,
                                                const data::Manifest& read, uint64_t seed);

  int height() const { return height_; }
  int width() const { return width_; }
  int channels() const { return channels_; }
  int64_t size() const { return int64_t{channels_} * height_ * width_; }
  // Whether cells are tiles of a known world, so that a share of wrong ones has a meaning.
  bool has_cells() const { return has_cells_; }

  // `tokens`: of one observation, ids of the segment "observation"; `out`: [channels, height,
  // width].
  void Fill(std::span<const int32_t> tokens, std::span<float> out) const;
  // Of two observations the share of cells with different tiles. has_cells() is true.
  double CellError(std::span<const int32_t> real, std::span<const int32_t> generated) const;

 private:
  int height_ = 0, width_ = 0, channels_ = 0;
  int block_ = 1;      // cells a side of one token
  int32_t first_ = 0;  // id
  bool has_cells_ = false;
  std::vector<float> table_;  // [ids, channels]; empty where cells are tiles
};

}  // namespace allometry::trainer
