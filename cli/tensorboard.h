// Loss points as event files of TensorBoard: a folder a run, a scalar a series.
//
// An event file is TFRecords (length, masked CRC-32C of it, data, masked CRC-32C of that) of Event
// messages (tensorflow/core/util/event.proto), of which four fields are written here by hand: a
// dependency on TensorFlow's protos would be larger than this file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/output_file.h"
#include "base/status.h"

namespace allometry::cli {

// CRC-32C (Castagnoli), as RFC 3720 B.4 gives it.
uint32_t Crc32c(absl::string_view bytes);

// One record of the file's begin ("brain.Event:2"), and one of a scalar. There is no time in loss
// points: the wall time is `step` seconds, so that curves over relative time are over steps.
std::string TensorboardHead();
std::string TensorboardScalar(absl::string_view tag, int64_t step, double value);

class TensorboardFolder {
 public:
  // `folder` is made where it is not there.
  explicit TensorboardFolder(std::string folder) : folder_(std::move(folder)) {}

  // A piece of `allo export --points`: whole lines, in the first piece the header. Points that have
  // no value (diverged) are left out. The points of a run stand together. DATA_LOSS for a line that
  // is no point.
  absl::Status AddCsv(absl::string_view piece);
  // Puts the last run's file in place, the others are. Returns how many there are.
  absl::StatusOr<int> Finish();

 private:
  absl::Status AddLine(absl::string_view line);

  const std::string folder_;
  std::string name_;                  // the open file's folder
  std::unique_ptr<OutputFile> file_;  // one at a time: sweeps have more runs than open files
  int finished_ = 0;
};

}  // namespace allometry::cli
