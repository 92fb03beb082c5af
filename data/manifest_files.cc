// Manifests in data directories; declared in manifest.h.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "data/manifest.h"

namespace allometry::data {
namespace {

// The manifest in DATA_DIR/NAME, which must call itself NAME: agents report the one and trainers
// open the other.
absl::StatusOr<Manifest> ReadNamed(const std::string& data_dir, const std::string& name) {
  const std::string folder = absl::StrCat(data_dir, "/", name);
  ALLO_ASSIGN_OR_RETURN(Manifest manifest, ReadManifestFile(folder));
  if (manifest.name == name) return manifest;
  return absl::InvalidArgumentError(
      absl::StrFormat("%s/%s: name is '%s', its folder is '%s': rename the folder", folder,
                      kManifestFile, manifest.name, name));
}

}  // namespace

absl::StatusOr<Manifest> ReadManifestFile(const std::string& dataset_dir) {
  const std::string path = absl::StrCat(dataset_dir, "/", kManifestFile);
  ALLO_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  absl::StatusOr<Manifest> manifest = ParseManifest(json);
  if (!manifest.ok()) return Annotate(manifest.status(), path);
  return manifest;
}

absl::StatusOr<Manifest> ReadManifest(const std::string& data_dir, const std::string& name) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(name));
  absl::StatusOr<Manifest> manifest = ReadNamed(data_dir, name);
  if (!absl::IsNotFound(manifest.status())) return manifest;
  // A data directory that is not there yet holds no dataset.
  absl::StatusOr<std::vector<FoundDataset>> others = FindDatasets(data_dir);
  if (absl::IsNotFound(others.status())) others.emplace();
  if (!others.ok()) return others.status();
  std::vector<std::string> names;
  for (const FoundDataset& other : *others) names.push_back(other.name);
  return absl::NotFoundError(
      absl::StrFormat("dataset '%s' is not in %s (there: %s): make it with 'allo data text', see "
                      "'allo data --help'",
                      name, data_dir, names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

absl::StatusOr<std::vector<FoundDataset>> FindDatasets(const std::string& data_dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator entry(data_dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const std::string name = entry->path().filename().string();
    if (name[0] != '.' && std::filesystem::exists(entry->path() / kManifestFile, ignored)) {
      names.push_back(name);
    }
  }
  if (error == std::errc::not_a_directory) {
    return absl::InvalidArgumentError(
        absl::StrCat(data_dir, " is a file: the data directory is a folder of datasets"));
  }
  if (error) {
    errno = error.value();
    return ErrnoStatus(data_dir, "read the data directory");
  }
  std::sort(names.begin(), names.end());
  std::vector<FoundDataset> found;
  for (const std::string& name : names) found.push_back({name, ReadNamed(data_dir, name)});
  return found;
}

}  // namespace allometry::data
