// A small dataset in a folder, for tests of whatever reads one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset_writer.h"

namespace allometry::testing {

// Writes DATA_DIR/NAME with the given ids as its splits and returns the manifest. Without
// token_bytes or segments beyond one named "text".
inline absl::StatusOr<data::Manifest> WriteTokenDataset(const std::string& data_dir,
                                                        const std::string& name, int64_t vocabulary,
                                                        std::span<const uint32_t> train,
                                                        std::span<const uint32_t> heldout,
                                                        int64_t shard_tokens = int64_t{1} << 26) {
  data::DatasetWriter writer(absl::StrCat(data_dir, "/", name), data::NarrowestType(vocabulary),
                             shard_tokens);
  ALLO_RETURN_IF_ERROR(writer.Open());
  ALLO_RETURN_IF_ERROR(writer.Append("train", train));
  ALLO_RETURN_IF_ERROR(writer.Append("heldout", heldout));
  data::Manifest manifest;
  manifest.name = name;
  manifest.kind = data::DatasetKind::kText;
  manifest.licence = "none";
  manifest.source = "a test";
  manifest.generator = "WriteTokenDataset";
  manifest.vocabulary = vocabulary;
  manifest.segments = {{.name = "text", .begin = 0, .end = vocabulary}};
  manifest.tokenizer = "none";
  manifest.tokenizer_hash = data::TokenizerHash("none", {});
  manifest.documents = 1;
  return writer.Finish(manifest);
}

// Ids 0 .. vocabulary-1 in a fixed order that looks random but can be learned in part: every id is
// a function of the one before and of a counter.
inline std::vector<uint32_t> PatternedTokens(int64_t count, int64_t vocabulary) {
  std::vector<uint32_t> tokens(static_cast<size_t>(count));
  uint64_t state = 1;
  for (uint32_t& token : tokens) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const uint64_t noise = (state >> 40) % 4;
    const uint64_t last = &token == tokens.data() ? 0 : *(&token - 1);
    token =
        static_cast<uint32_t>((last * 3 + noise * noise + 1) % static_cast<uint64_t>(vocabulary));
  }
  return tokens;
}

}  // namespace allometry::testing
