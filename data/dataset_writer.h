// Writes a dataset folder. The files are written to a temporary folder beside it
// (staged_folder.h), which takes the dataset's name once it is complete. Until then an earlier
// dataset of that name stays as it was.
//
//   DatasetWriter writer(data_dir + "/gcide-char", TokenType::kU8);
//   ALLO_RETURN_IF_ERROR(writer.Open());
//   ALLO_RETURN_IF_ERROR(writer.Append("train", tokens));
//   ALLO_ASSIGN_OR_RETURN(const Manifest written, writer.Finish(manifest));
//
// The same tokens give the same files, byte for byte. Not thread-safe; one writer a folder.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/made_dataset.h"
#include "data/manifest.h"
#include "data/npy.h"
#include "data/staged_folder.h"

namespace allometry::data {

class DatasetWriter {
 public:
  DatasetWriter(std::string dataset_dir, TokenType type, int64_t shard_tokens = int64_t{1} << 24);

  // Makes the folder that is written to.
  absl::Status Open();

  // Where to write another file of the dataset before Finish.
  std::string Path(absl::string_view file) const;

  // Adds tokens to the end of a split, "train" or "heldout".
  absl::Status Append(const std::string& split, std::span<const uint32_t> tokens);

  // Adds frames to the images of a split: `bytes` of whole images of height x width x channels.
  absl::Status AppendImages(const std::string& split, std::span<const uint8_t> bytes,
                            const Frames& frames);

  // Appended to `split` so far.
  int64_t tokens(const std::string& split) const;

  // Writes what is left and the manifest, whose shards and token totals it fills in, and puts the
  // folder in its place. Returns the manifest as read back from the file, with its hash.
  absl::StatusOr<Manifest> Finish(Manifest manifest);

 private:
  absl::Status WriteShard(const std::string& split, std::span<const uint32_t> tokens);
  absl::Status WriteImages(const std::string& split, const std::string& bytes);
  // Shards so far of a split and role: the number of the next one.
  int64_t Shards(const std::string& split, const std::string& role) const;

  const std::string dataset_dir_;
  const TokenType type_;
  const int64_t shard_tokens_;
  std::unique_ptr<StagedFolder> staged_;                  // from Open to Finish
  std::map<std::string, std::vector<uint32_t>> pending_;  // by split, less than a shard each
  std::map<std::string, int64_t> tokens_;
  std::map<std::string, std::string> pending_images_;  // by split
  Frames frames_;                                      // of images; 0 before there are any
  std::vector<Shard> shards_;
};

// Whether `folder` holds the dataset that `wanted` describes: true where source, generator, licence
// and sizes agree; false where no dataset is there. AlreadyExists where another one is, saying
// both; DataLoss where a shard is not as the manifest says.
absl::StatusOr<bool> HoldsDataset(const std::string& folder, const Manifest& wanted);

// Before a dataset is made: locks its folder, and says in `made.existed` whether the dataset that
// `made.manifest` describes is there already; then made.manifest becomes what is on disk.
// `replace`: whatever is there is made anew. InvalidArgument where one of `inputs` lies inside the
// folder.
absl::StatusOr<FolderLock> LockToMake(const std::string& folder,
                                      const std::vector<std::string>& inputs, bool replace,
                                      MadeDataset& made);

}  // namespace allometry::data
