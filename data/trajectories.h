// Trajectories as an HDF5 file in the layout of Minari and D4RL: one group an episode.
//
//   /                      attributes total_episodes, total_steps
//   /episode_0             attributes id, total_steps (T)
//     observations         u8 or u16 [T + 1, ...]: before each step, and after the last
//     actions              i64 [T] or [T, d]
//     rewards              f32 [T]
//     terminations         u8 [T], 0 or 1
//     truncations          u8 [T]; 1 in the last where the episode was cut off
//     infos/images         u8 [T + 1, height, width, 3], optional
//
// Chunked and compressed (deflate). Open it with h5py or minari. libhdf5 is not thread-safe as
// Debian builds it: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

struct Trajectory {
  std::vector<int64_t> observation_shape;  // of one
  std::vector<uint16_t> observations;      // of T + 1
  int64_t action_dimensions = 1;
  std::vector<int64_t> actions;  // of T
  std::vector<float> rewards;
  std::vector<uint8_t> terminations;
  std::vector<uint8_t> truncations;
  std::vector<int64_t> image_shape;  // of one; empty: no images
  std::vector<uint8_t> images;

  int64_t steps() const { return static_cast<int64_t>(rewards.size()); }
};

class TrajectoryWriter {
 public:
  // Makes the file anew.
  static absl::StatusOr<std::unique_ptr<TrajectoryWriter>> Create(const std::string& path);
  virtual ~TrajectoryWriter() = default;

  virtual absl::Status Append(const Trajectory& trajectory) = 0;
  // Writes the totals and closes. Nothing may follow.
  virtual absl::Status Finish() = 0;
};

class TrajectoryReader {
 public:
  // NotFound; InvalidArgument where it is not an HDF5 file with episodes.
  static absl::StatusOr<std::unique_ptr<TrajectoryReader>> Open(const std::string& path);
  virtual ~TrajectoryReader() = default;

  virtual int64_t episodes() const = 0;
  // Without images. InvalidArgument names the group and array that is missing, of another length or
  // not of whole numbers.
  virtual absl::StatusOr<Trajectory> Read(int64_t episode) const = 0;
};

}  // namespace allometry::data
