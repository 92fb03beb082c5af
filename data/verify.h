// The full check of a dataset on disk.
#pragma once

#include <string>

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

// Reads every byte: sizes, types and hashes of all shards, every token id below the vocabulary, and
// the tokenizer's hash. The manifest where all agrees; otherwise DataLoss naming the first file
// that does not.
absl::StatusOr<Manifest> VerifyDataset(const std::string& dataset_dir);

}  // namespace allometry::data
