#include "worker/trainer/dataset_checks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/union_name.h"

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

ShardWatch ShardWatch::Of(const std::string& data_dir, const std::string& dataset) {
  ShardWatch watch;
  const absl::StatusOr<data::UnionName> united = data::ParseUnionName(dataset);
  for (const std::string& name : united.ok() ? united->members : std::vector{dataset}) {
    const absl::StatusOr<data::Manifest> manifest = data::ReadManifest(data_dir, name);
    if (!manifest.ok()) continue;
    for (const data::Shard& shard : manifest->shards) {
      File file{absl::StrCat(data_dir, "/", name, "/", shard.file), {}};
      if (stat(file.path.c_str(), &file.info) == 0) watch.files_.push_back(std::move(file));
    }
  }
  return watch;
}

absl::Status ShardWatch::CheckUnchanged() const {
  for (const File& file : files_) {
    struct stat now {};
    const bool same = stat(file.path.c_str(), &now) == 0 && now.st_ino == file.info.st_ino &&
                      now.st_dev == file.info.st_dev && now.st_size == file.info.st_size &&
                      now.st_mtim.tv_sec == file.info.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == file.info.st_mtim.tv_nsec;
    if (!same) {
      return absl::DataLossError(
          absl::StrCat(file.path,
                       " changed while it was trained on: what was read since the last "
                       "checkpoint does not count"));
    }
  }
  return absl::OkStatus();
}

}  // namespace allometry::trainer
