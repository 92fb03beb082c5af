// A dataset for benchmarks of the coordinator: its manifest, no data.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "data/manifest.h"

namespace allometry::bench {

inline std::string TextManifestJson() {
  data::Manifest manifest;
  manifest.name = "bench-text";
  manifest.kind = data::DatasetKind::kText;
  manifest.licence = "none";
  manifest.source = "bench";
  manifest.generator = "bench";
  manifest.vocabulary = 64;
  manifest.segments = {{.name = "text", .begin = 0, .end = 64}};
  manifest.tokenizer = "none";
  manifest.tokenizer_hash = "00000000000000aa";
  manifest.documents = 1;
  manifest.unique_tokens = 1'000'000'000'000;
  manifest.heldout_tokens = 100'000;
  for (const char* split : {"train", "heldout"}) {
    data::Shard shard;
    shard.file = absl::StrCat(split, "-00000.npy");
    shard.split = split;
    shard.dtype = "u8";
    shard.tokens = shard.split == "train" ? manifest.unique_tokens : manifest.heldout_tokens;
    shard.bytes = shard.tokens + 128;
    shard.hash = "00000000000000bb";
    manifest.shards.push_back(shard);
  }
  return data::ManifestJson(manifest);
}

}  // namespace allometry::bench
