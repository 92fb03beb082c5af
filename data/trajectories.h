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
// Chunked and compressed (deflate). Open it with h5py or minari.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

struct TrajectoryReaderOptions {
  // Arrays in an episode's group: "observations/image" is one space of a Dict.
  std::string observations = "observations";
  std::string actions = "actions";
  // Take the episodes that are there where the file says that it has others.
  bool incomplete = false;
};

// Episodes in the order of their numbers, which need not follow each other. What a file may be made
// of: hdf5_file.h.
class TrajectoryReader {
 public:
  // NotFound; InvalidArgument where it is not an HDF5 file with episodes, or has not the
  // total_episodes that it says.
  static absl::StatusOr<std::unique_ptr<TrajectoryReader>> Open(
      const std::string& path, const TrajectoryReaderOptions& options = {});
  virtual ~TrajectoryReader() = default;

  virtual int64_t episodes() const = 0;
  // The name of its group.
  virtual const std::string& name(int64_t episode) const = 0;
  // What the file says about itself, where it does.
  virtual std::optional<int64_t> stated_steps() const = 0;
  // What is in the file and not in an episode; numbers that are not there.
  virtual const std::vector<std::string>& left_out() const = 0;
  virtual const std::vector<std::string>& notes() const = 0;

  // Without images. InvalidArgument names the group and array that is missing, of another length or
  // not of whole numbers.
  virtual absl::StatusOr<Trajectory> Read(int64_t episode) const = 0;
  // Aborted where the file was written to since it was opened.
  virtual absl::Status CheckUnchanged() const = 0;
};

}  // namespace allometry::data
