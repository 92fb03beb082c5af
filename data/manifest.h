// dataset.json: what a dataset is. A run pins it by the hash of its bytes.
//
//   DATA_DIR/gcide-char/dataset.json
//   DATA_DIR/gcide-char/train-00000.npy      u8, u16 or u32, C order, one dimension
//   DATA_DIR/gcide-char/heldout-00000.npy
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

struct Shard {
  std::string file;    // relative to the manifest's folder, no '/' in it
  std::string split;   // "train" or "heldout"
  std::string dtype;   // "u8", "u16", "u32"
  int64_t tokens = 0;
  int64_t bytes = 0;   // of the file
  std::string hash;    // HashFileHex
};

// A named range of token ids; ranges never overlap.
struct VocabularySegment {
  std::string name;  // "text", "observation", "action:0"
  int64_t begin = 0;
  int64_t end = 0;   // exclusive
};

struct Manifest {
  int version = 1;
  std::string name;
  std::string kind;             // "text"
  std::string licence;
  std::string source;           // what it was made from, with the source's hash
  std::string generator;        // command and version that made it
  int64_t vocabulary = 0;
  std::vector<VocabularySegment> segments;
  std::string tokenizer;        // "chars"
  std::string tokenizer_hash;
  std::vector<std::string> token_bytes;  // for text: the bytes of each id, JSON-escaped
  std::vector<Shard> shards;
  int64_t documents = 0;
  int64_t unique_tokens = 0;    // tokens in the train split
  int64_t heldout_tokens = 0;

  std::string hash;             // HashHex of the file's bytes; not a field of the file
};

// InvalidArgument names the field, its value and what was allowed.
absl::StatusOr<Manifest> ParseManifest(absl::string_view json);
std::string ManifestJson(const Manifest& manifest);

// DATA_DIR/NAME/dataset.json. NotFound lists the datasets that are there and says how to make one.
absl::StatusOr<Manifest> ReadManifest(const std::string& data_dir, const std::string& name);
// Every dataset below `data_dir`, by name; folders without a dataset.json are skipped.
absl::StatusOr<std::vector<Manifest>> ListDatasets(const std::string& data_dir);

}  // namespace allometry::data
