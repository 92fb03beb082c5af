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
  std::string file;   // relative to the manifest's folder, no '/' in it
  std::string split;  // "train" or "heldout"
  std::string dtype;  // "u8", "u16", "u32"
  int64_t tokens = 0;
  int64_t bytes = 0;  // of the file
  std::string hash;   // HashFileHex
};

// A named range of token ids; ranges never overlap.
struct VocabularySegment {
  std::string name;  // "text", "observation", "action:0"
  int64_t begin = 0;
  int64_t end = 0;  // exclusive
};

struct Manifest {
  int version = 1;
  std::string name;
  std::string kind;  // "text"
  std::string licence;
  std::string source;     // what it was made from, with the source's hash
  std::string generator;  // command with its options, and version, that made it
  int64_t vocabulary = 0;
  std::vector<VocabularySegment> segments;
  std::string tokenizer;  // "chars"
  std::string tokenizer_hash;
  // For text, the bytes of each id; empty where the tokenizer is not ours. In the file every byte
  // is the character of that number (U+0000 to U+00FF), so that any bytes are valid JSON.
  std::vector<std::string> token_bytes;
  std::vector<Shard> shards;
  int64_t documents = 0;
  int64_t unique_tokens = 0;  // tokens in the train split
  int64_t heldout_tokens = 0;

  std::string hash;  // HashHex of the file's bytes; not a field of the file
};

inline constexpr char kManifestFile[] = "dataset.json";

// InvalidArgument names the field, its value and what was allowed: unknown and missing fields,
// overlapping segments, totals that are not the sums of the shards. Sets `hash`.
absl::StatusOr<Manifest> ParseManifest(absl::string_view json);
// The file's bytes: fields in the order above, indented. ParseManifest reads them back.
std::string ManifestJson(const Manifest& manifest);

// DATASET_DIR/dataset.json; errors carry the path.
absl::StatusOr<Manifest> ReadManifestFile(const std::string& dataset_dir);
// DATA_DIR/NAME/dataset.json. NotFound lists the datasets that are there and says how to make one.
absl::StatusOr<Manifest> ReadManifest(const std::string& data_dir, const std::string& name);
// Every dataset below `data_dir`, by name; folders without a dataset.json are skipped. NotFound
// where `data_dir` does not exist; a manifest that cannot be read is an error, not skipped.
absl::StatusOr<std::vector<Manifest>> ListDatasets(const std::string& data_dir);

// Letters, digits, '.', '_' and '-', not starting with '.' or '-': a folder's name and nothing
// more. InvalidArgument otherwise.
absl::Status CheckDatasetName(absl::string_view name);

// Stored in tokenizer_hash: depends on the tokenizer's name and the bytes of every id.
std::string TokenizerHash(const std::string& tokenizer,
                          const std::vector<std::string>& token_bytes);

// Epochs are exact arithmetic. A training window is `context` inputs and their targets, shifted by
// one; windows do not overlap, so an epoch is floor((train_tokens - 1) / context) windows and
//   unique tokens seen = min(D, WindowsPerEpoch * context),   epochs = D / (WindowsPerEpoch *
//   context).
// 0 where not one window fits.
int64_t WindowsPerEpoch(int64_t train_tokens, int64_t context);

}  // namespace allometry::data
