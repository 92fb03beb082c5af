#include "data/dataset_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/files.h"
#include "data/windows.h"

namespace allometry::data {
namespace {

constexpr int64_t kImageShardBytes = int64_t{1} << 28;

}  // namespace

DatasetWriter::DatasetWriter(std::string dataset_dir, TokenType type, int64_t shard_tokens)
    : dataset_dir_(std::move(dataset_dir)), type_(type), shard_tokens_(shard_tokens) {
  ALLO_CHECK(shard_tokens_ >= 1) << shard_tokens_;
}

absl::Status DatasetWriter::Open() {
  ALLO_ASSIGN_OR_RETURN(staged_, StagedFolder::Create(dataset_dir_));
  return absl::OkStatus();
}

std::string DatasetWriter::Path(absl::string_view file) const {
  ALLO_CHECK(staged_ != nullptr) << "before Open or after Finish";
  return absl::StrCat(staged_->path(), "/", file);
}

absl::Status DatasetWriter::Append(const std::string& split, std::span<const uint32_t> tokens) {
  ALLO_CHECK(split == "train" || split == "heldout") << split;
  std::vector<uint32_t>& pending = pending_[split];
  tokens_[split] += static_cast<int64_t>(tokens.size());
  while (!tokens.empty()) {
    const size_t room = static_cast<size_t>(shard_tokens_) - pending.size();
    const auto taken = tokens.first(std::min(room, tokens.size()));
    pending.insert(pending.end(), taken.begin(), taken.end());
    tokens = tokens.subspan(taken.size());
    if (pending.size() < static_cast<size_t>(shard_tokens_)) break;
    ALLO_RETURN_IF_ERROR(WriteShard(split, pending));
    pending.clear();
  }
  return absl::OkStatus();
}

int64_t DatasetWriter::tokens(const std::string& split) const {
  const auto found = tokens_.find(split);
  return found == tokens_.end() ? 0 : found->second;
}

absl::Status DatasetWriter::WriteShard(const std::string& split, std::span<const uint32_t> tokens) {
  const std::string contents = EncodeNpy(type_, tokens);
  const Shard shard{.file = absl::StrFormat("%s-%05d.npy", split, Shards(split, "tokens")),
                    .split = split,
                    .dtype = NameOf(type_),
                    .tokens = static_cast<int64_t>(tokens.size()),
                    .bytes = static_cast<int64_t>(contents.size()),
                    .hash = HashHex(contents),
                    .role = "tokens"};
  shards_.push_back(shard);
  return WriteFileAtomically(Path(shard.file), contents);
}

int64_t DatasetWriter::Shards(const std::string& split, const std::string& role) const {
  return std::count_if(shards_.begin(), shards_.end(), [&](const Shard& shard) {
    return shard.split == split && shard.role == role;
  });
}

absl::Status DatasetWriter::AppendImages(const std::string& split, std::span<const uint8_t> bytes,
                                         const Frames& frames) {
  const int64_t image = frames.image_height * frames.image_width * frames.image_channels;
  ALLO_CHECK(image > 0 && static_cast<int64_t>(bytes.size()) % image == 0) << bytes.size();
  frames_ = frames;
  std::string& pending = pending_images_[split];
  const auto most = static_cast<size_t>(std::max(image, kImageShardBytes / image * image));
  while (!bytes.empty()) {
    const auto taken = bytes.first(std::min(most - pending.size(), bytes.size()));
    pending.append(taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
    if (pending.size() < most) break;
    ALLO_RETURN_IF_ERROR(WriteImages(split, pending));
    pending.clear();
  }
  return absl::OkStatus();
}

absl::Status DatasetWriter::WriteImages(const std::string& split, const std::string& bytes) {
  const int64_t image = frames_.image_height * frames_.image_width * frames_.image_channels;
  const int64_t shape[] = {static_cast<int64_t>(bytes.size()) / image, frames_.image_height,
                           frames_.image_width, frames_.image_channels};
  const std::string contents = EncodeNpyHeader(TokenType::kU8, shape) + bytes;
  const Shard shard{.file = absl::StrFormat("%s-images-%05d.npy", split, Shards(split, "images")),
                    .split = split,
                    .dtype = NameOf(TokenType::kU8),
                    .tokens = shape[0],
                    .bytes = static_cast<int64_t>(contents.size()),
                    .hash = HashHex(contents),
                    .role = "images"};
  shards_.push_back(shard);
  return WriteFileAtomically(Path(shard.file), contents);
}

absl::StatusOr<Manifest> DatasetWriter::Finish(Manifest manifest) {
  for (const auto& [split, tokens] : pending_) {
    if (!tokens.empty()) ALLO_RETURN_IF_ERROR(WriteShard(split, tokens));
  }
  pending_.clear();
  for (const auto& [split, bytes] : pending_images_) {
    if (!bytes.empty()) ALLO_RETURN_IF_ERROR(WriteImages(split, bytes));
  }
  pending_images_.clear();
  // The train split first, tokens before images, each in order: the order of the streams.
  std::stable_sort(shards_.begin(), shards_.end(), [](const Shard& a, const Shard& b) {
    return std::pair(a.split, a.role) > std::pair(b.split, b.role);
  });
  manifest.shards = shards_;
  manifest.unique_tokens = tokens("train");
  manifest.heldout_tokens = tokens("heldout");
  const std::string json = ManifestJson(manifest);
  ALLO_RETURN_IF_ERROR(ParseManifest(json).status());  // never write what cannot be read
  ALLO_RETURN_IF_ERROR(WriteFileAtomically(Path(kManifestFile), json));
  ALLO_RETURN_IF_ERROR(staged_->Commit());
  staged_.reset();
  return ReadManifestFile(dataset_dir_);
}

absl::StatusOr<bool> HoldsDataset(const std::string& folder, const Manifest& wanted) {
  const absl::StatusOr<Manifest> found = ReadManifestFile(folder);
  if (absl::IsNotFound(found.status())) return false;
  const absl::Status opened = TokenDataset::Open(folder).status();
  if (!opened.ok()) {
    return absl::DataLossError(absl::StrCat(
        "a damaged dataset has this name, --replace makes it anew: ", opened.message()));
  }
  if (found->source == wanted.source && found->generator == wanted.generator &&
      found->licence == wanted.licence) {
    return true;
  }
  return absl::AlreadyExistsError(absl::StrFormat(
      "dataset '%s' exists and was made otherwise: choose another name, or replace it with "
      "--replace (runs that were started on it will not find it again)\n"
      "  there: %s\n         %s, licence %s\n  asked: %s\n         %s, licence %s",
      wanted.name, found->source, found->generator, found->licence, wanted.source, wanted.generator,
      wanted.licence));
}

absl::StatusOr<FolderLock> LockToMake(const std::string& folder,
                                      const std::vector<std::string>& inputs, bool replace,
                                      MadeDataset& made) {
  ALLO_RETURN_IF_ERROR(CheckInputsOutside(folder, inputs));
  ALLO_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(folder));
  if (!replace) {
    ALLO_ASSIGN_OR_RETURN(made.existed, HoldsDataset(folder, made.manifest));
  }
  if (made.existed) {
    ALLO_ASSIGN_OR_RETURN(made.manifest, ReadManifestFile(folder));
  }
  return lock;
}

}  // namespace allometry::data
