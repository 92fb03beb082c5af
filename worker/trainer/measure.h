// The cost of an attempt on this machine, measured in a few seconds, for `allo plan`.
//
// `allo-trainer RUN_DIR --measure SECONDS` trains the run of RUN_DIR/run.json from its first update
// for about so long, then evaluates and writes a checkpoint, exactly as an attempt would, but into
// a folder of its own beside run.json that is removed at the end. Nothing of the run changes.
#pragma once

#include <cstdint>
#include <string>

namespace allometry::trainer {

// All times in seconds of one rank's clock; updates are the same on every rank.
struct Measurement {
  double update_s = 0;      // mean, with what is logged on the way
  double update_cpu_s = 0;  // processor time of all ranks for an update
  double evaluation_s = 0;
  double checkpoint_s = 0;
  double measuring_s = 0;  // of all the above together: the rest of the process's life is its start
  int64_t updates = 0;     // that the mean is of
  int64_t peak_memory_bytes = 0;  // of the rank that needed most
  std::string step_backend;
};

// One line of JSON with the names above, the trainer's build and the device's model.
std::string MeasurementJson(const Measurement& measurement, const std::string& trainer_build,
                            const std::string& device_model);

}  // namespace allometry::trainer
