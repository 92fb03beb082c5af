#include "data/verify.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/windows.h"

namespace allometry::data {
namespace {

absl::Status ReadAll(const TokenStream& stream) {
  std::vector<int32_t> ids(1 << 16);
  for (int64_t first = 0; first < stream.size(); first += static_cast<int64_t>(ids.size())) {
    const auto length = std::min(static_cast<int64_t>(ids.size()), stream.size() - first);
    ALLO_RETURN_IF_ERROR(
        stream.Read(first, std::span<int32_t>(ids).first(static_cast<size_t>(length))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Manifest> VerifyDataset(const std::string& dataset_dir) {
  ALLO_ASSIGN_OR_RETURN(const Manifest pinned, ReadManifestFile(dataset_dir));
  if (!pinned.has_files()) return pinned;  // nothing is on disk but the manifest
  ALLO_ASSIGN_OR_RETURN(const TokenDataset dataset,
                        TokenDataset::Open(dataset_dir, TokenDataset::Check::kHashes));
  ALLO_RETURN_IF_ERROR(ReadAll(dataset.train()));
  ALLO_RETURN_IF_ERROR(ReadAll(dataset.heldout()));
  const Manifest& manifest = dataset.manifest();
  const std::string hash = TokenizerHash(manifest.tokenizer, manifest.token_bytes);
  if (hash != manifest.tokenizer_hash) {
    return absl::DataLossError(absl::StrFormat("%s/%s: tokenizer_hash is %s, the tokenizer's is %s",
                                               dataset_dir, kManifestFile, manifest.tokenizer_hash,
                                               hash));
  }
  return manifest;
}

}  // namespace allometry::data
