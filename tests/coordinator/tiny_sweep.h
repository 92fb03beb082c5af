// A sweep small enough to be played by hand: what a researcher would submit, as a request.
#pragma once

#include <string>

#include "absl/strings/str_format.h"
#include "data/manifest.h"
#include "proto/client.pb.h"
#include "proto/worker.pb.h"

namespace allometry::testing {

struct TinySweep {
  std::string name = "tiny";
  std::string sizes = "[5k, 20k]";
  std::string budgets = "[10240, 20480, 40960, 102400]";  // tokens; steps of 512 tokens
  std::string seeds = "[1]";
  std::string rate = "3e-3";
  std::string more = "";  // further lines of the file
  int64_t unique_tokens = 1'000'000;
};

inline std::string TinyManifestJson(const TinySweep& sweep = {}) {
  data::Manifest manifest;
  manifest.name = "tiny-text";
  manifest.kind = data::DatasetKind::kText;
  manifest.licence = "none";
  manifest.source = "a test";
  manifest.generator = "TinySweep";
  manifest.vocabulary = 64;
  manifest.segments = {{.name = "text", .begin = 0, .end = 64}};
  manifest.tokenizer = "none";
  manifest.tokenizer_hash = "00000000000000aa";
  manifest.documents = 1;
  manifest.unique_tokens = sweep.unique_tokens;
  manifest.heldout_tokens = 100'000;
  for (const auto& [split, tokens] :
       {std::pair<std::string, int64_t>("train", sweep.unique_tokens), {"heldout", 100'000}}) {
    data::Shard shard;
    shard.file = split + "-00000.npy";
    shard.split = split;
    shard.dtype = "u8";
    shard.tokens = tokens;
    shard.bytes = tokens + 128;
    shard.hash = "00000000000000bb";
    manifest.shards.push_back(shard);
  }
  return data::ManifestJson(manifest);
}

inline v1::Dataset TinyDataset(const TinySweep& sweep = {}) {
  v1::Dataset dataset;
  dataset.set_name("tiny-text");
  dataset.set_hash(data::ParseManifest(TinyManifestJson(sweep))->hash);
  return dataset;
}

inline v1::CreateSweepRequest Request(const TinySweep& sweep = {}) {
  v1::CreateSweepRequest request;
  request.set_file_name("sweeps/" + sweep.name + ".yaml");
  request.set_sweep_yaml(absl::StrFormat(
      "name: %s\n"
      "dataset: tiny-text\n"
      "model: {context: 16, sizes: %s}\n"
      "training: {batch_tokens: 512, warmup_steps: 2, learning_rate: %s, seeds: %s}\n"
      "budgets: {tokens: %s}\n%s",
      sweep.name, sweep.sizes, sweep.rate, sweep.seeds, sweep.budgets, sweep.more));
  request.set_manifest_json(TinyManifestJson(sweep));
  return request;
}

}  // namespace allometry::testing
