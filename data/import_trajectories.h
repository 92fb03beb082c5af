// HDF5 trajectories (trajectories.h) to a dataset of tokens: observations and actions of whole
// numbers, as Minari's tools or ours wrote them.
//
// An observation is flattened, each number a token; so its ids are 0 .. observation_ids - 1, and
// each of an action's d numbers has ids of its own behind them. Every episode is cut to the same
// number of frames: longer ones give as many as fit, and what is left over is counted
// (frames_left_out); the observation after the last step is not used. The i-th episode of the file,
// in the order of their numbers, is held out where i mod 20 = 19, or the last one of fewer than
// twenty.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "data/made_dataset.h"
#include "data/trajectories.h"

namespace allometry::data {

struct ImportTrajectoriesOptions {
  std::string name;
  std::string file;
  TrajectoryReaderOptions reader;
  int64_t frames = 0;           // an episode; 0: as many as the shortest has
  int64_t observation_ids = 0;  // 0: the largest that occurs and one
  int64_t action_ids = 0;       // of each number; 0: the largest that occurs and one
  std::string licence = "unknown";
  bool replace = false;
};

// Makes DATA_DIR/NAME; status codes as of MakeTextDataset.
absl::StatusOr<MadeDataset> ImportTrajectories(const ImportTrajectoriesOptions& options,
                                               const std::string& data_dir);

}  // namespace allometry::data
