// A small dataset of trajectories with images in a folder, for tests of whatever reads one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "data/manifest.h"
#include "data/npy.h"

namespace allometry::testing {

// A frame is two cells of 4 values each and two actions of 3 and 2 values: ids 0..3, 4..6 and 7..8.
// The cells walk (each adds the action before it), the actions follow from the cells but for noise;
// so both can be learned. An image of `side` x `side` x 1 pixels has the first cell's brightness in
// its upper half and the second's in its lower.
inline constexpr int64_t kFrameVocabulary = 9;

struct FrameSplit {
  std::vector<uint32_t> tokens;
  std::string images;
};

inline FrameSplit WalkingFrames(int64_t episodes, int64_t frames, int64_t side, uint64_t seed) {
  FrameSplit split;
  uint64_t state = seed;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return static_cast<uint32_t>((state >> 33) % below);
  };
  for (int64_t episode = 0; episode < episodes; ++episode) {
    uint32_t cells[2] = {random(4), random(4)};
    for (int64_t frame = 0; frame < frames; ++frame) {
      const uint32_t actions[2] = {random(5) == 0 ? random(3) : (cells[0] + cells[1]) % 3,
                                   random(5) == 0 ? random(2) : cells[0] / 2};
      split.tokens.insert(split.tokens.end(), {cells[0], cells[1], 4 + actions[0], 7 + actions[1]});
      for (int64_t pixel = 0; pixel < side * side; ++pixel) {
        split.images += static_cast<char>(60 * cells[pixel < side * side / 2 ? 0 : 1]);
      }
      cells[0] = (cells[0] + actions[0]) % 4;
      cells[1] = (cells[1] + actions[1] + 1) % 4;
    }
  }
  return split;
}

// Writes DATA_DIR/NAME with WalkingFrames and returns the manifest; no images where `side` is 0.
// Datasets of other seeds have other frames.
inline absl::StatusOr<data::Manifest> WriteFrameDataset(const std::string& data_dir,
                                                        const std::string& name, int64_t episodes,
                                                        int64_t frames, int64_t side,
                                                        uint64_t seed = 1) {
  data::Manifest manifest;
  manifest.name = name;
  manifest.kind = data::DatasetKind::kTrajectories;
  manifest.licence = "none";
  manifest.source = "a test";
  manifest.generator = "WriteFrameDataset";
  manifest.vocabulary = kFrameVocabulary;
  manifest.segments = {{"observation", 0, 4}, {"action:0", 4, 7}, {"action:1", 7, 9}};
  manifest.tokenizer = "none";
  manifest.tokenizer_hash = data::TokenizerHash("none", {});
  manifest.frames = data::Frames{.tokens_per_observation = 2,
                                 .tokens_per_action = 2,
                                 .frames_per_episode = frames,
                                 .frames_left_out = 0,
                                 .image_height = side,
                                 .image_width = side,
                                 .image_channels = side == 0 ? 0 : 1};
  const std::string folder = absl::StrCat(data_dir, "/", name);
  ALLO_RETURN_IF_ERROR(MakeDirectories(folder));
  const auto add = [&](const std::string& split, const std::string& role, int64_t count,
                       const std::string& bytes) -> absl::Status {
    const std::string file = absl::StrCat(split, "-", role, ".npy");
    ALLO_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", file), bytes));
    manifest.shards.push_back({.file = file,
                               .split = split,
                               .dtype = "u8",
                               .tokens = count,
                               .bytes = static_cast<int64_t>(bytes.size()),
                               .hash = HashHex(bytes),
                               .role = role});
    return absl::OkStatus();
  };
  for (const char* split : {"train", "heldout"}) {
    const bool train = *split == 't';
    const FrameSplit made =
        WalkingFrames(train ? episodes : (episodes + 3) / 4, frames, side, train ? seed : seed + 1);
    const auto tokens = static_cast<int64_t>(made.tokens.size());
    ALLO_RETURN_IF_ERROR(
        add(split, "tokens", tokens, data::EncodeNpy(data::TokenType::kU8, made.tokens)));
    (train ? manifest.unique_tokens : manifest.heldout_tokens) = tokens;
    manifest.documents += tokens / manifest.frames->tokens_per_episode();
    if (side == 0) continue;
    const std::vector<int64_t> shape = {tokens / 4, side, side, 1};
    ALLO_RETURN_IF_ERROR(add(split, "images", tokens / 4,
                             data::EncodeNpyHeader(data::TokenType::kU8, shape) + made.images));
  }
  ALLO_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", data::kManifestFile),
                                           data::ManifestJson(manifest)));
  return data::ReadManifestFile(folder);
}

}  // namespace allometry::testing
