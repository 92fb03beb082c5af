// Token ids that another program wrote, to a token dataset: raw numbers (nanoGPT's train.bin and
// val.bin), llm.c's .bin files with their header, or NumPy's .npy.
//
// What a file is, is told from its contents. Raw numbers have no mark, so 16 bits are refused where
// their statistics say that they are something else: 32-bit or 64-bit ids, the other byte order,
// text, a compressed file.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "data/made_dataset.h"

namespace allometry::data {

struct ImportBinOptions {
  std::string name;
  std::string train;  // file of ids
  std::string heldout;
  // Of raw numbers, little-endian: u8, u16, u32, i32, i64, taken without a look at their
  // statistics. auto: u16, or u32 where the vocabulary has more than 65,536 ids, if it looks so.
  std::string dtype = "auto";
  int64_t vocabulary = 50257;
  std::string tokenizer = "gpt2";  // a label: the ids' bytes are not known here
  std::string licence = "unknown";
  bool replace = false;
};

// Makes DATA_DIR/NAME; the status codes of MakeTextDataset. OutOfRange names the file and the first
// id that is not below the vocabulary. DataLoss where a file's header and size disagree. The files'
// own split is kept; documents are not known and counted as 0.
absl::StatusOr<MadeDataset> ImportBin(const ImportBinOptions& options, const std::string& data_dir);

}  // namespace allometry::data
