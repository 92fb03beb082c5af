#include "worker/agent/dataset_list.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"

namespace allometry::agent {

absl::Status CheckFiles(const std::string& dir, const data::Manifest& manifest) {
  for (const data::Shard& shard : manifest.shards) {
    const std::string path = absl::StrCat(dir, "/", shard.file);
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return ErrnoStatus(path, "read");
    if (info.st_size != shard.bytes) {
      return absl::DataLossError(absl::StrFormat("%s has %d bytes, the manifest says %d", path,
                                                 info.st_size, shard.bytes));
    }
  }
  return absl::OkStatus();
}

absl::Status DatasetList::Refresh() {
  ALLO_ASSIGN_OR_RETURN(const std::vector<data::Manifest> found, data::ListDatasets(data_dir_));
  std::map<std::string, std::string> good;
  offered_.clear();
  refused_.clear();
  for (const data::Manifest& manifest : found) {
    const auto known = good_.find(manifest.name);
    if (suspect_ || known == good_.end() || known->second != manifest.hash) {
      const absl::Status files = CheckFiles(absl::StrCat(data_dir_, "/", manifest.name), manifest);
      if (!files.ok()) {
        refused_.push_back(
            absl::StrCat("dataset ", manifest.name, " is not offered: ", files.message()));
        continue;
      }
    }
    good.emplace(manifest.name, manifest.hash);
    v1::Dataset& dataset = offered_.emplace_back();
    dataset.set_name(manifest.name);
    dataset.set_hash(manifest.hash);
  }
  good_ = std::move(good);
  suspect_ = false;
  return absl::OkStatus();
}

}  // namespace allometry::agent
