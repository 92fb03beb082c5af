// Whether a dataset is the one that a run was submitted with, and has what its shape needs.
// FailedPrecondition says what it has instead.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "data/manifest.h"
#include "run/run_spec.h"

namespace allometry::trainer {

absl::Status CheckDatasetHash(const run::Identity& identity, const data::Manifest& manifest);
// Frames with images of the shape's size.
absl::Status CheckImages(const run::Shape& shape, const data::Manifest& manifest);

// The state of a dataset's shards when a run opened them. They are mapped and read as training goes
// on, so without this check a shard that is overwritten would be trained on without an error.
class ShardWatch {
 public:
  // Of the dataset's manifest; of one without files (generated, or not readable) it watches
  // nothing.
  static ShardWatch Of(const std::string& data_dir, const std::string& dataset);
  // DataLoss names the first that is another file, or has another size or time, than it had.
  absl::Status CheckUnchanged() const;

 private:
  struct File {
    std::string path;
    struct stat info;
  };
  std::vector<File> files_;
};

}  // namespace allometry::trainer
