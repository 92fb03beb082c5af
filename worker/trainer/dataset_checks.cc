#include "worker/trainer/dataset_checks.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::trainer {

absl::Status CheckDatasetHash(const run::Identity& identity, const data::Manifest& manifest) {
  if (identity.dataset_hash.empty() || manifest.hash == identity.dataset_hash) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("its dataset.json has the hash ", manifest.hash, "; the run was submitted with ",
                   identity.dataset_hash, ": it is another dataset"));
}

absl::Status CheckImages(const run::Shape& shape, const data::Manifest& manifest) {
  if (!manifest.frames.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("family ", shape.family, " needs a dataset of frames"));
  }
  const data::Frames& frames = *manifest.frames;
  if (frames.image_height == shape.image_height && frames.image_width == shape.image_width &&
      frames.image_channels == shape.image_channels) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("dataset %s has images of %d x %d x %d; the model's are %d x %d x %d",
                      manifest.name, frames.image_height, frames.image_width, frames.image_channels,
                      shape.image_height, shape.image_width, shape.image_channels));
}

}  // namespace allometry::trainer
