// A token dataset in memory maps, and the windows that training and evaluation read from it.
//
//   ALLO_ASSIGN_OR_RETURN(const TokenDataset dataset, TokenDataset::Open(data_dir +
//   "/gcide-char")); ALLO_ASSIGN_OR_RETURN(const TrainWindows train, TrainWindows::Create(dataset,
//   context, seed)); ALLO_RETURN_IF_ERROR(train.Fill(first, count, inputs, targets));
//
// Which tokens an update sees is a function of (dataset, context, seed, update, row, global batch)
// alone: row r of update u (from 0) with B windows a batch is window u * B + r, whichever rank or
// micro-batch computes it. So a resumed or re-sharded run draws identical batches.
//
// Threads: everything here is constant after construction and safe from any thread. Windows borrow
// the maps: the dataset must outlive them (it may be moved).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "data/npy.h"

namespace allometry::data {

class MappedFile;  // a read-only memory map, in windows.cc

// The tokens of one split: its shards in the manifest's order as one sequence.
class TokenStream {
 public:
  int64_t size() const { return size_; }

  // Copies tokens first .. first + out.size() - 1, which must exist (checked). DataLoss where an id
  // is not below the vocabulary, so that no model indexes outside its embedding.
  absl::Status Read(int64_t first, std::span<int32_t> out) const;

 private:
  friend class TokenDataset;
  struct Piece {
    const std::byte* data;
    TokenType type;
    int64_t begin;  // position in the stream
    int64_t end;
    std::string path;
  };
  std::vector<Piece> pieces_;
  int64_t size_ = 0;
  int64_t vocabulary_ = 0;
};

// The images of one split, frame by frame as its tokens; empty where the dataset has none.
class ImageStream {
 public:
  int64_t frames() const { return frames_; }
  int64_t bytes_per_frame() const { return bytes_per_frame_; }

  // Copies frames first .. first + count - 1 (which must exist, checked): u8 of
  // [count, height, width, channels].
  void Read(int64_t first, int64_t count, std::span<uint8_t> out) const;

 private:
  friend class TokenDataset;
  struct Piece {
    const std::byte* data;
    int64_t begin;  // frames
    int64_t end;
  };
  std::vector<Piece> pieces_;
  int64_t frames_ = 0;
  int64_t bytes_per_frame_ = 0;
};

class TokenDataset {
 public:
  enum class Check {
    kSizes,   // sizes, types and counts of every shard against the manifest; no data is read
    kHashes,  // and the hash of every shard: reads everything
  };

  // NotFound without a dataset.json; FailedPrecondition for a generated dataset, which has no
  // shards; DataLoss names the shard that does not fit its entry.
  static absl::StatusOr<TokenDataset> Open(const std::string& dataset_dir,
                                           Check check = Check::kSizes);
  TokenDataset(TokenDataset&&) noexcept;
  TokenDataset& operator=(TokenDataset&&) noexcept;
  ~TokenDataset();

  const Manifest& manifest() const { return manifest_; }
  const TokenStream& train() const { return train_; }
  const TokenStream& heldout() const { return heldout_; }
  const ImageStream& train_images() const { return train_images_; }
  const ImageStream& heldout_images() const { return heldout_images_; }

 private:
  TokenDataset();
  // A shard after those before it, into the stream of its split and role.
  void Add(const Shard& shard, const NpyHeader& header, const std::byte* data, std::string path);

  Manifest manifest_;
  std::vector<MappedFile> files_;
  TokenStream train_;
  TokenStream heldout_;
  ImageStream train_images_;
  ImageStream heldout_images_;
};

// Training windows, numbered by a global counter from 0. With W windows an epoch, window g is the
// (g mod W)-th of the permutation keyed by (seed, g / W) of the W non-overlapping windows; window w
// has inputs w*context .. w*context + context - 1 and targets one further.
class TrainWindows {
 public:
  // InvalidArgument where the split is too short for one window.
  static absl::StatusOr<TrainWindows> Create(const TokenDataset& dataset, int64_t context,
                                             int64_t seed);

  int64_t context() const { return context_; }

  // Which of the W windows global window g is: the permutation itself.
  int64_t Position(int64_t window) const;

  // Windows first_window .. first_window + count - 1, row-major [count, context] each.
  absl::Status Fill(int64_t first_window, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const;

  // Passes over the data after `tokens` inputs (whole windows).
  double Epochs(int64_t tokens) const;

 private:
  TrainWindows() = default;
  TokenStream stream_;
  int64_t context_ = 0;
  int64_t windows_per_epoch_ = 0;
  int64_t seed_ = 0;
};

// The fixed held-out windows: `count` of the W that there are, evenly spaced (window j is number
// floor(j * W / count)), or all W where there are fewer. The same for every run on a dataset with
// this context and count.
class HeldoutWindows {
 public:
  static absl::StatusOr<HeldoutWindows> Create(const TokenDataset& dataset, int64_t context,
                                               int64_t count);

  int64_t context() const { return context_; }
  int64_t count() const { return count_; }  // at most what was asked for

  absl::Status Fill(int64_t first_window, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const;

 private:
  HeldoutWindows() = default;
  TokenStream stream_;
  int64_t context_ = 0;
  int64_t available_ = 0;
  int64_t count_ = 0;
};

// The permutation of 0 .. size-1 that (seed, epoch) keys, at `index`: computed without a table, a
// pure function, the same on every machine. Stored in every run's data order: do not change.
//
// An alternating Feistel network of eight rounds on the smallest power of two >= size, its round
// function the finalizer of SplitMix64 (Steele, Lea, Flood 2014), walked until the value is below
// `size` (cycle walking; Black, Rogaway 2002). Fewer than two steps are expected.
uint64_t KeyedPermutation(uint64_t seed, uint64_t epoch, uint64_t size, uint64_t index);

}  // namespace allometry::data
