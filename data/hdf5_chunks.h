// Whether an array's chunks hold what its extent says. The HDF5 library (1.10) does not ask: where
// a chunk of a damaged or hostile file is shorter, it reads on behind its buffer.
#pragma once

#include <string>

#include "base/status.h"
#include "hdf5.h"

namespace allometry::data {

// For an array in chunks of at most `most_bytes` each, whose filters are gzip, shuffle and
// fletcher32. InvalidArgument, beginning with `path`: a chunk that was written holds less than a
// chunk's bytes.
absl::Status CheckChunks(const std::string& path, hid_t array, hid_t type, int64_t most_bytes);

}  // namespace allometry::data
