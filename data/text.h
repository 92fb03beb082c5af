// Text files to a token dataset.
//
//   read (gzip too) → documents → without duplicates → train or heldout by the document's hash
//   → ids → .npy shards → dataset.json
//
// In both splits a document is followed by a blank line ("\n\n"), so that models see where it ends.
// Whether a document is held out depends on its bytes alone: XXH3(document) / 2^64 < fraction. So
// neither a document's place nor what else is in the corpus changes it, and no duplicate is in
// both.
//
// The dataset is a function of (files' names and contents, options): the same bytes on every
// machine, and so the same manifest hash. The whole corpus is held in memory. A BPE tokenizer is
// trained on the train split alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/made_dataset.h"

namespace allometry::data {

struct TextOptions {
  std::string name;                 // of the dataset and its folder
  std::vector<std::string> inputs;  // files, in this order
  std::string tokenizer = "chars";  // or "bpe:N"; beside the shards is then a tokenizer.json
  std::string documents = "auto";   // see documents.h
  std::string encoding = "auto";    // see text_encoding.h
  double heldout_fraction = 0.05;   // in (0, 1)
  int64_t max_bytes = 0;            // stop after the document that passes it; 0: everything
  std::string licence;              // empty: the known corpus's, otherwise "unknown"
  bool replace = false;             // an existing dataset of another source or other options
};

// Makes DATA_DIR/NAME; an earlier dataset of that name stays until the new one is whole
// (staged_folder.h). AlreadyExists where another dataset has the name, saying both sources;
// InvalidArgument names the option, its value and what is allowed. Two makes of one name at once
// take turns.
absl::StatusOr<MadeDataset> MakeTextDataset(const TextOptions& options,
                                            const std::string& data_dir);

}  // namespace allometry::data
