// Windows of a dataset of any kind, behind one interface: what training and evaluation read.
//
//   text          `context` tokens anywhere in the split, targets one further (windows.h)
//   trajectories  K whole frames inside an episode, context = K tokens_per_frame: an episode of F
//                 frames has F / K of them, which do not overlap; the F mod K frames left over are
//                 not read
//   generated     K whole frames, the first of an episode of its own (generated_windows.h)
//   union         window g is window g / M of member g mod M (union.h)
//
// A window of frames begins on a frame boundary. Its last position has no successor in the window:
// its target is -1, which no objective counts.
//
// Training windows are numbered by a global counter: with W windows an epoch (WindowsPerEpoch),
// window g is the (g mod W)-th of the permutation keyed by (seed, g / W). Held-out windows are
// fixed: `count` of the W that there are, evenly spaced.
//
// Threads: constant after construction, safe from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

class WindowSource {
 public:
  virtual ~WindowSource() = default;

  // Windows first .. first + count - 1, row-major [count, context] each.
  virtual absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                            std::span<int32_t> targets) const = 0;
  // Their images, u8 [count, frames, height, width, channels]. FailedPrecondition where the dataset
  // has none.
  virtual absl::Status FillImages(int64_t first, int64_t count,
                                  std::span<uint8_t> images) const = 0;
};

struct WindowSources {
  Manifest manifest;
  std::unique_ptr<WindowSource> train;    // without end
  std::unique_ptr<WindowSource> heldout;  // of heldout_count windows
  int64_t heldout_count = 0;              // what was asked for, or fewer where there are fewer
  // Of a union: whose the windows are by turns, held-out window j that of members[j mod size].
  std::vector<std::string> members;
};

struct WindowOptions {
  int64_t context = 0;  // tokens; of trajectories a number of whole frames
  int64_t seed = 0;     // of the order of the training windows
  int64_t heldout_windows = 0;
  int64_t train_episodes = 0;  // the first so many of the train split; 0: all
};

// Opens DATASET_DIR. InvalidArgument where a split has not one window, or the context is not whole
// frames.
absl::StatusOr<WindowSources> OpenWindows(const std::string& dataset_dir,
                                          const WindowOptions& options);

}  // namespace allometry::data
