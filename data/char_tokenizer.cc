#include "data/char_tokenizer.h"

#include "base/check.h"

namespace allometry::data {

CharTokenizer CharTokenizer::Of(const std::vector<absl::string_view>& texts,
                                absl::string_view separator) {
  std::array<bool, 256> occurs = {};
  for (const absl::string_view text : texts) {
    for (const char c : text) occurs[static_cast<uint8_t>(c)] = true;
  }
  for (const char c : separator) occurs[static_cast<uint8_t>(c)] = true;
  CharTokenizer tokenizer;
  tokenizer.ids_.fill(kUnknown);
  for (size_t byte = 0; byte < occurs.size(); ++byte) {
    if (!occurs[byte]) continue;
    tokenizer.ids_[byte] = static_cast<uint32_t>(tokenizer.token_bytes_.size());
    tokenizer.token_bytes_.emplace_back(1, static_cast<char>(byte));
  }
  return tokenizer;
}

void CharTokenizer::Encode(absl::string_view text, std::vector<uint32_t>& tokens) const {
  for (const char c : text) {
    const uint32_t id = ids_[static_cast<uint8_t>(c)];
    ALLO_CHECK(id != kUnknown) << "byte " << int{static_cast<uint8_t>(c)};
    tokens.push_back(id);
  }
}

}  // namespace allometry::data
