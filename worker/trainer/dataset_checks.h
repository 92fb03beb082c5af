// Whether a dataset is the one that a run was submitted with, and has what its shape needs.
// FailedPrecondition says what it has instead.
#pragma once

#include "base/status.h"
#include "data/manifest.h"
#include "run/run_spec.h"

namespace allometry::trainer {

absl::Status CheckDatasetHash(const run::Identity& identity, const data::Manifest& manifest);
// Frames with images of the shape's size.
absl::Status CheckImages(const run::Shape& shape, const data::Manifest& manifest);

}  // namespace allometry::trainer
