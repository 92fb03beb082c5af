// The result of making a dataset.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace allometry::data {

struct MadeDataset {
  Manifest manifest;
  bool existed = false;  // it was there already, of the same source and options: nothing written
  // The fields below are empty where it existed.
  std::string from;                   // "29 episodes", "3 files of token ids"
  std::vector<std::string> left_out;  // "40 frames beyond whole episodes of 4"
  std::vector<std::string> notes;     // what else a person should know, whole sentences
  int64_t duplicates = 0;             // documents left out because an equal one came before
};

// "39,952,321".
std::string Grouped(int64_t number);
// "1 duplicate", "4,000 duplicates".
std::string Counted(int64_t number, absl::string_view word);

}  // namespace allometry::data
