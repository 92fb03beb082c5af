#include "data/bpe_tokenizer.h"

#include <algorithm>
#include <queue>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace allometry::data {
namespace {

constexpr size_t kLongestChunk = 64;
constexpr size_t kLargestCache = 1 << 20;

enum class Kind { kSpace, kLetter, kDigit, kOther };

Kind KindOf(char c) {
  const auto byte = static_cast<uint8_t>(c);
  if (byte == ' ' || (byte >= '\t' && byte <= '\r')) return Kind::kSpace;
  if (byte >= '0' && byte <= '9') return Kind::kDigit;
  const uint8_t lower = byte | 0x20;
  return byte >= 128 || (lower >= 'a' && lower <= 'z') ? Kind::kLetter : Kind::kOther;
}

// Length of the first chunk of a text that is not empty.
size_t FirstChunk(absl::string_view text) {
  size_t at = 0;
  if (text.size() > 1 && text[0] == ' ' && KindOf(text[1]) != Kind::kSpace) at = 1;
  const Kind kind = KindOf(text[at]);
  while (at < text.size() && at < kLongestChunk && KindOf(text[at]) == kind) {
    // A space before a word is the word's.
    if (kind == Kind::kSpace && at > 0 && text[at] == ' ' && at + 1 < text.size() &&
        KindOf(text[at + 1]) != Kind::kSpace) {
      break;
    }
    ++at;
  }
  return at;
}

uint64_t PairOf(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// The state of training: the distinct chunks as tokens, and how often each pair occurs.
class Trainer {
 public:
  explicit Trainer(const std::vector<absl::string_view>& texts) {
    std::unordered_map<std::string_view, int64_t> counts;
    for (const absl::string_view text : texts) {
      for (absl::string_view rest = text; !rest.empty();) {
        const size_t length = FirstChunk(rest);
        ++counts[std::string_view(rest.data(), length)];
        rest.remove_prefix(length);
      }
    }
    for (const auto& [chunk, count] : counts) {
      if (chunk.size() < 2) continue;
      Word& word = words_.emplace_back();
      word.count = count;
      for (const char c : chunk) word.tokens.push_back(static_cast<uint8_t>(c));
    }
    for (uint32_t i = 0; i < words_.size(); ++i) Count(i, +1, /*newest=*/kAny);
    for (const auto& [pair, of_pair] : pairs_) queue_.push({of_pair.count, pair});
  }

  // The most frequent pair becomes token `id`; false where none occurs twice.
  bool Merge(uint32_t id, std::pair<uint32_t, uint32_t>* merged) {
    while (!queue_.empty()) {
      const Entry best = queue_.top();
      queue_.pop();
      const int64_t count = pairs_[best.pair].count;
      if (count < 2) continue;
      if (count != best.count) {
        queue_.push({count, best.pair});
        continue;
      }
      *merged = {static_cast<uint32_t>(best.pair >> 32), static_cast<uint32_t>(best.pair)};
      Replace(best.pair, *merged, id);
      return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kAny = ~0u;
  struct Word {
    std::vector<uint32_t> tokens;
    int64_t count = 0;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it occurred once; it may be gone there
  };
  struct Entry {
    int64_t count;
    uint64_t pair;
    // The queue's top is the most frequent, then the smallest.
    bool operator<(const Entry& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  // Adds a word's pairs, or takes them away. Of those added, the ones with `newest` are new in this
  // word and enter their lists and the queue.
  void Count(uint32_t number, int sign, uint32_t newest) {
    const Word& word = words_[number];
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const uint64_t key = PairOf(word.tokens[i], word.tokens[i + 1]);
      Pair& pair = pairs_[key];
      pair.count += sign * word.count;
      const bool fresh = newest == kAny || word.tokens[i] == newest || word.tokens[i + 1] == newest;
      if (sign < 0 || !fresh) continue;
      if (pair.words.empty() || pair.words.back() != number) pair.words.push_back(number);
      if (newest != kAny) grown_.push_back(key);
    }
  }

  void Replace(uint64_t key, const std::pair<uint32_t, uint32_t>& pair, uint32_t id) {
    const std::vector<uint32_t> words = std::move(pairs_[key].words);
    grown_.clear();
    for (const uint32_t number : words) {
      std::vector<uint32_t>& tokens = words_[number].tokens;
      Count(number, -1, kAny);
      size_t to = 0;
      for (size_t from = 0; from < tokens.size(); ++to) {
        const bool here = from + 1 < tokens.size() && tokens[from] == pair.first &&
                          tokens[from + 1] == pair.second;
        tokens[to] = here ? id : tokens[from];
        from += here ? 2 : 1;
      }
      tokens.resize(to);
      Count(number, +1, id);
    }
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const uint64_t grown : grown_) queue_.push({pairs_[grown].count, grown});
  }

  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  // An entry's count is at least its pair's: counts of pairs that are not new only fall.
  std::priority_queue<Entry> queue_;
  std::vector<uint64_t> grown_;
};

void AppendJsonString(absl::string_view bytes, std::string& out) {
  out += '"';
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= ' ' && byte < 127 && c != '"' && c != '\\') {
      out += c;
    } else {
      absl::StrAppendFormat(&out, "\\u%04x", byte);
    }
  }
  out += '"';
}

}  // namespace

absl::StatusOr<int64_t> ParseBpeName(absl::string_view name) {
  int64_t merges = 0;
  absl::string_view number = name;
  if (absl::ConsumePrefix(&number, "bpe:") && absl::SimpleAtoi(number, &merges) && merges >= 1 &&
      merges <= kMostMerges) {
    return merges;
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "tokenizer '%s': allowed are chars, and bpe:N with 1 to %d merges", name, kMostMerges));
}

std::vector<absl::string_view> Chunks(absl::string_view text) {
  std::vector<absl::string_view> chunks;
  while (!text.empty()) {
    const size_t length = FirstChunk(text);
    chunks.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return chunks;
}

BpeTokenizer BpeTokenizer::Train(const std::vector<absl::string_view>& texts, int64_t merges) {
  Trainer trainer(texts);
  std::vector<std::pair<uint32_t, uint32_t>> made;
  std::pair<uint32_t, uint32_t> next;
  while (static_cast<int64_t>(made.size()) < merges &&
         trainer.Merge(static_cast<uint32_t>(256 + made.size()), &next)) {
    made.push_back(next);
  }
  return BpeTokenizer(std::move(made));
}

BpeTokenizer::BpeTokenizer(std::vector<std::pair<uint32_t, uint32_t>> merges)
    : merges_(std::move(merges)) {
  for (int byte = 0; byte < 256; ++byte) token_bytes_.emplace_back(1, static_cast<char>(byte));
  for (const auto& [left, right] : merges_) {
    const auto id = static_cast<uint32_t>(token_bytes_.size());
    ALLO_CHECK(left < id && right < id) << "merge " << left << " " << right << " makes " << id;
    merged_.emplace(PairOf(left, right), id);
    token_bytes_.push_back(token_bytes_[left] + token_bytes_[right]);
  }
}

void BpeTokenizer::EncodeChunk(absl::string_view chunk, std::vector<uint32_t>& tokens) const {
  tokens.clear();
  for (const char c : chunk) tokens.push_back(static_cast<uint8_t>(c));
  while (tokens.size() > 1) {
    uint32_t best = ~0u;
    size_t place = 0;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = merged_.find(PairOf(tokens[i], tokens[i + 1]));
      if (found == merged_.end() || found->second >= best) continue;
      best = found->second;
      place = i;
    }
    if (best == ~0u) return;
    tokens[place] = best;
    tokens.erase(tokens.begin() + static_cast<ptrdiff_t>(place) + 1);
  }
}

void BpeTokenizer::Encode(absl::string_view text, std::vector<uint32_t>& tokens) {
  while (!text.empty()) {
    const size_t length = FirstChunk(text);
    if (cache_.size() >= kLargestCache) cache_.clear();
    const auto [found, fresh] =
        cache_.try_emplace(std::string(text.data(), length), std::vector<uint32_t>());
    if (fresh) EncodeChunk(text.substr(0, length), found->second);
    tokens.insert(tokens.end(), found->second.begin(), found->second.end());
    text.remove_prefix(length);
  }
}

std::string BpeTokenizer::Json(absl::string_view name) const {
  std::string json = absl::StrFormat("{\"tokenizer\": \"%s\",\n \"merges\": [", name);
  for (size_t i = 0; i < merges_.size(); ++i) {
    absl::StrAppendFormat(&json, "%s[%d, %d]", i == 0 ? "" : ", ", merges_[i].first,
                          merges_[i].second);
  }
  json += "],\n \"tokens\": [";
  for (size_t i = 0; i < token_bytes_.size(); ++i) {
    if (i > 0) json += ", ";
    AppendJsonString(token_bytes_[i], json);
  }
  json += "]}\n";
  return json;
}

}  // namespace allometry::data
