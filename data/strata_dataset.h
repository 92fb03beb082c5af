// Strata as a dataset on disk: token shards, optionally images and HDF5 trajectories.
//
//   DATA_DIR/NAME/{train,heldout}-00000.npy           tokens
//   DATA_DIR/NAME/{train,heldout}-images-00000.npy    u8 [frames, pixels, pixels, 3]
//   DATA_DIR/NAME/trajectories.hdf5                   trajectories.h; not part of the manifest
//
// Episode i of the spec is in the train split, or held out where (i / universes) mod 20 = 19: whole
// episodes, a twentieth of each universe's. A function of the options, byte for byte.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "data/made_dataset.h"
#include "data/manifest.h"
#include "data/strata/spec.h"

namespace allometry::data {

// Whether the exact entropy of windows of so many frames can be had: InvalidArgument says why not.
absl::Status CheckEntropy(const strata::Spec& spec, int64_t frames);

struct StrataOptions {
  std::string name;
  strata::Spec spec;
  int64_t steps = 100000;      // frames in all; whole episodes, rounded up
  int64_t entropy_frames = 0;  // measure the entropy for windows of so many; 0: do not
  bool hdf5 = false;
  bool replace = false;
  std::function<void(int64_t windows, double standard_error)> entropy_progress;  // may be null
};

// Makes DATA_DIR/NAME. AlreadyExists where another dataset has the name.
absl::StatusOr<MadeDataset> MakeStrataDataset(const StrataOptions& options,
                                              const std::string& data_dir);

}  // namespace allometry::data
