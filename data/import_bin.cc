#include "data/import_bin.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/folder_lock.h"

namespace allometry::data {
namespace {

absl::StatusOr<std::string> Describe(const std::string& path) {
  ALLO_ASSIGN_OR_RETURN(const std::string hash, HashFileHex(path));
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) {
    errno = error.value();
    return ErrnoStatus(path, "size");
  }
  if (bytes == 0 || bytes % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d bytes: allowed is a positive even number (u16 ids)", path, bytes));
  }
  return absl::StrFormat("%s (%d bytes, xxh3 %s)", std::filesystem::path(path).filename().string(),
                         bytes, hash);
}

absl::Status AppendFile(const std::string& path, const std::string& split, int64_t vocabulary,
                        DatasetWriter& writer) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus(path, "open");
  std::vector<uint16_t> ids(1 << 20);
  std::vector<uint32_t> tokens;
  int64_t position = 0;
  while (file) {
    file.read(reinterpret_cast<char*>(ids.data()),
              static_cast<std::streamsize>(ids.size() * sizeof(uint16_t)));
    const auto count = static_cast<size_t>(file.gcount()) / sizeof(uint16_t);
    tokens.assign(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
    for (const uint32_t token : tokens) {
      if (token >= vocabulary) {
        return absl::OutOfRangeError(absl::StrFormat("%s: id %d at token %d: the vocabulary has %d",
                                                     path, token, position, vocabulary));
      }
      ++position;
    }
    ALLO_RETURN_IF_ERROR(writer.Append(split, tokens));
  }
  if (!file.eof()) return ErrnoStatus(path, "read");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Manifest> ImportBin(const ImportBinOptions& options, const std::string& data_dir,
                                   bool* existed) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  if (options.vocabulary < 1 || options.vocabulary > 1 << 16) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "vocabulary %d: allowed is 1 to %d (ids are u16)", options.vocabulary, 1 << 16));
  }
  ALLO_ASSIGN_OR_RETURN(const std::string train, Describe(options.train));
  ALLO_ASSIGN_OR_RETURN(const std::string heldout, Describe(options.heldout));
  Manifest manifest;
  manifest.name = options.name;
  manifest.kind = "text";
  manifest.licence = options.licence;
  manifest.source = absl::StrCat(train, "; ", heldout);
  manifest.generator = absl::StrFormat("allo data import-bin --vocabulary %d --tokenizer %s",
                                       options.vocabulary, options.tokenizer);
  manifest.vocabulary = options.vocabulary;
  manifest.segments = {{.name = "text", .begin = 0, .end = options.vocabulary}};
  manifest.tokenizer = options.tokenizer;
  manifest.tokenizer_hash = TokenizerHash(options.tokenizer, {});

  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_RETURN_IF_ERROR(MakeDirectories(folder));
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(folder));
  *existed = false;
  if (!options.replace) {
    ALLO_ASSIGN_OR_RETURN(*existed, HoldsDataset(folder, manifest));
    if (*existed) return ReadManifestFile(folder);
  }
  DatasetWriter writer(folder, NarrowestType(options.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  ALLO_RETURN_IF_ERROR(AppendFile(options.train, "train", options.vocabulary, writer));
  ALLO_RETURN_IF_ERROR(AppendFile(options.heldout, "heldout", options.vocabulary, writer));
  return writer.Finish(std::move(manifest));
}

}  // namespace allometry::data
