// The tokenizer "bpe:N": byte pair encoding with N merges over the 256 bytes, trained on the
// corpus.
//
// Text is cut into chunks first, so that merges stay within words: an optional space and a run of
// letters (bytes from 128 on are letters), of digits or of other signs; or a run of white space; of
// at most 64 bytes. The next merge is the pair of neighbouring tokens that occurs most often in all
// chunks, of equally frequent ones that with the smaller ids; training ends early where no pair
// occurs twice. To encode a chunk, the earliest merge that applies is done, at the leftmost place,
// until none does. (Gage 1994; Sennrich, Haddow, Birch 2016; byte-level as GPT-2, with simpler
// chunks.)
//
// Every byte is a token, ids 0 to 255, and merge i makes id 256 + i: any bytes encode, and decoding
// gives them back.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"

namespace allometry::data {

inline constexpr int64_t kMostMerges = 65536 - 256;

// The number of merges of a name "bpe:N"; InvalidArgument otherwise.
absl::StatusOr<int64_t> ParseBpeName(absl::string_view name);

class BpeTokenizer {
 public:
  // A function of the texts (their order does not matter) and of `merges`.
  static BpeTokenizer Train(const std::vector<absl::string_view>& texts, int64_t merges);
  // From the pairs of ids themselves; each must be of earlier ids (checked).
  explicit BpeTokenizer(std::vector<std::pair<uint32_t, uint32_t>> merges);

  int64_t vocabulary() const { return static_cast<int64_t>(token_bytes_.size()); }
  const std::vector<std::string>& token_bytes() const { return token_bytes_; }
  const std::vector<std::pair<uint32_t, uint32_t>>& merges() const { return merges_; }

  // Appends the ids of `text` to `tokens`. Chunks met before come from a cache: not thread-safe.
  void Encode(absl::string_view text, std::vector<uint32_t>& tokens);

  // tokenizer.json: {"tokenizer": name, "merges": [[left, right], ...], "tokens": [...]}, a token's
  // bytes as the characters U+0000 to U+00FF.
  std::string Json(absl::string_view name) const;

 private:
  void EncodeChunk(absl::string_view chunk, std::vector<uint32_t>& tokens) const;

  std::vector<std::pair<uint32_t, uint32_t>> merges_;
  std::vector<std::string> token_bytes_;
  std::unordered_map<uint64_t, uint32_t> merged_;  // by left << 32 | right
  std::unordered_map<std::string, std::vector<uint32_t>> cache_;
};

// The chunks of a text, in order; together they are the text.
std::vector<absl::string_view> Chunks(absl::string_view text);

}  // namespace allometry::data
