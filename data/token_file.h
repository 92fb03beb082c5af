// A file of token ids that another program wrote: what its numbers are, and the numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/status.h"
#include "data/input_file.h"

namespace allometry::data {

// Integers side by side.
struct TokenLayout {
  int64_t bytes_each = 2;  // 1, 2, 4 or 8
  bool is_signed = false;
  bool big_endian = false;
  int64_t offset = 0;  // of the first, in bytes
  int64_t count = 0;
  std::string format;  // "raw u16", "llm.c's u16", ".npy of '<u2'"
};

// `dtype` and what is refused: import_bin.h. InvalidArgument or DataLoss begin with the path.
absl::StatusOr<TokenLayout> LayoutOfTokens(const InputFile& file, const std::string& dtype,
                                           int64_t vocabulary);

// Calls use(ids) for successive pieces of the file. OutOfRange names the first id that is negative
// or not below `vocabulary`.
absl::Status ReadTokens(const InputFile& file, const TokenLayout& layout, int64_t vocabulary,
                        const std::function<absl::Status(std::span<const uint32_t>)>& use);

}  // namespace allometry::data
