// nanoGPT's token files (train.bin, val.bin: raw little-endian u16 ids) to a token dataset.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

struct ImportBinOptions {
  std::string name;
  std::string train;  // file of raw u16 ids
  std::string heldout;
  int64_t vocabulary = 50257;
  std::string tokenizer = "gpt2";  // a label: the ids' bytes are not known here
  std::string licence = "unknown";
  bool replace = false;
};

// Makes DATA_DIR/NAME; the status codes of MakeTextDataset. `existed`: it was there already.
// OutOfRange names the file and the first id that is not below the vocabulary. The files' own
// split is kept; documents are not known and counted as 0.
absl::StatusOr<Manifest> ImportBin(const ImportBinOptions& options, const std::string& data_dir,
                                   bool* existed);

}  // namespace allometry::data
