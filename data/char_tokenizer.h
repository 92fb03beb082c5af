// The tokenizer "chars": the distinct bytes of a corpus, numbered in byte order. One token a byte.
//
// Every byte that occurs has an id, however rare, so that decoding gives back the text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::data {

class CharTokenizer {
 public:
  // The bytes of `texts` and of `separator`.
  static CharTokenizer Of(const std::vector<absl::string_view>& texts, absl::string_view separator);

  int64_t vocabulary() const { return static_cast<int64_t>(token_bytes_.size()); }
  const std::vector<std::string>& token_bytes() const { return token_bytes_; }

  // Appends the ids of `text` to `tokens`. Every byte must be known (checked).
  void Encode(absl::string_view text, std::vector<uint32_t>& tokens) const;

 private:
  static constexpr uint32_t kUnknown = 256;
  std::array<uint32_t, 256> ids_;  // by byte
  std::vector<std::string> token_bytes_;
};

}  // namespace allometry::data
