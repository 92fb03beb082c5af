#include "data/bpe_tokenizer.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::data {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Pair = std::pair<uint32_t, uint32_t>;
using Ids = std::vector<uint32_t>;

// Training as the definition says: after every merge all pairs are counted anew.
std::vector<Pair> NaiveMerges(const std::vector<absl::string_view>& texts, int64_t merges) {
  std::vector<Ids> chunks;
  for (const absl::string_view text : texts) {
    for (const absl::string_view chunk : Chunks(text)) {
      Ids& ids = chunks.emplace_back();
      for (const char c : chunk) ids.push_back(static_cast<uint8_t>(c));
    }
  }
  std::vector<Pair> made;
  while (static_cast<int64_t>(made.size()) < merges) {
    std::map<Pair, int64_t> counts;
    for (const Ids& ids : chunks) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) ++counts[{ids[i], ids[i + 1]}];
    }
    Pair best;
    int64_t most = 1;
    for (const auto& [pair, count] : counts) {
      if (count > most) {
        most = count;
        best = pair;
      }
    }
    if (most < 2) break;
    const auto id = static_cast<uint32_t>(256 + made.size());
    made.push_back(best);
    for (Ids& ids : chunks) {
      Ids next;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (i + 1 < ids.size() && Pair(ids[i], ids[i + 1]) == best) {
          next.push_back(id);
          ++i;
        } else {
          next.push_back(ids[i]);
        }
      }
      ids = next;
    }
  }
  return made;
}

// Encoding by all merges in turn, each everywhere it applies.
Ids NaiveEncode(absl::string_view text, const std::vector<Pair>& merges) {
  Ids all;
  for (const absl::string_view chunk : Chunks(text)) {
    Ids ids;
    for (const char c : chunk) ids.push_back(static_cast<uint8_t>(c));
    for (size_t m = 0; m < merges.size(); ++m) {
      Ids next;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool here = i + 1 < ids.size() && Pair(ids[i], ids[i + 1]) == merges[m];
        next.push_back(here ? static_cast<uint32_t>(256 + m) : ids[i]);
        i += here;
      }
      ids = next;
    }
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

std::string Decode(const BpeTokenizer& tokenizer, const Ids& ids) {
  std::string text;
  for (const uint32_t id : ids) text += tokenizer.token_bytes()[id];
  return text;
}

// Words over few letters with Zipf-like frequencies, so that pairs tie and overlap ("aaa").
std::string Babble(uint64_t seed, int words) {
  std::string text;
  uint64_t state = seed;
  const auto draw = [&](uint64_t below) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return (state >> 33) % below;
  };
  for (int i = 0; i < words; ++i) {
    const uint64_t length = 1 + draw(6);
    for (uint64_t j = 0; j < length; ++j) text += static_cast<char>('a' + draw(1 + draw(4)));
    text += draw(9) == 0 ? std::string(".\n") : draw(20) == 0 ? " 1999 " : " ";
  }
  return text;
}

TEST(BpeTokenizerTest, ChunksAreWordsWithTheirSpace) {
  EXPECT_THAT(Chunks("The cat's  2 caf\xc3\xa9s,\n\n ok"),
              ElementsAre("The", " cat", "'", "s", " ", " 2", " caf\xc3\xa9s", ",", "\n\n", " ok"));
  EXPECT_THAT(Chunks(""), ElementsAre());
  EXPECT_THAT(Chunks("  "), ElementsAre("  "));
  EXPECT_EQ(Chunks(std::string(1000, '-')).size(), 16u);
}

TEST(BpeTokenizerTest, TrainsAsTheNaiveTrainerDoes) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const std::string a = Babble(seed, 300), b = Babble(seed + 100, 200);
    const BpeTokenizer tokenizer = BpeTokenizer::Train({a, b}, 120);
    EXPECT_EQ(tokenizer.merges(), NaiveMerges({a, b}, 120)) << seed;
    EXPECT_EQ(BpeTokenizer::Train({b, a}, 120).merges(), tokenizer.merges());
  }
}

TEST(BpeTokenizerTest, EncodesAsTheNaiveEncoderDoes) {
  BpeTokenizer tokenizer = BpeTokenizer::Train({Babble(1, 2000)}, 200);
  for (uint64_t seed = 50; seed < 56; ++seed) {
    const std::string text = Babble(seed, 300) + "aaaaaaaaaaaa";
    Ids ids;
    tokenizer.Encode(text, ids);
    EXPECT_EQ(ids, NaiveEncode(text, tokenizer.merges()));
    EXPECT_LT(ids.size(), text.size() / 2);
  }
}

TEST(BpeTokenizerTest, AnyBytesComeBack) {
  BpeTokenizer tokenizer = BpeTokenizer::Train({Babble(2, 500)}, 100);
  std::string bytes;
  uint64_t state = 9;
  for (int i = 0; i < 20000; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    bytes +=
        i % 3 == 0 ? static_cast<char>('a' + (state >> 60) % 4) : static_cast<char>(state >> 56);
  }
  Ids ids;
  tokenizer.Encode(bytes, ids);
  EXPECT_EQ(Decode(tokenizer, ids), bytes);
  Ids again;
  tokenizer.Encode(bytes, again);
  EXPECT_EQ(again, ids);
}

TEST(BpeTokenizerTest, EndsWhereNoPairOccursTwice) {
  const BpeTokenizer tokenizer = BpeTokenizer::Train({"abab ab"}, 100);
  EXPECT_THAT(tokenizer.merges(), ElementsAre(Pair('a', 'b')));
  EXPECT_EQ(tokenizer.vocabulary(), 257);
}

TEST(BpeTokenizerTest, NamesSayTheNumberOfMerges) {
  EXPECT_THAT(ParseBpeName("bpe:1024"), IsOkAndHolds(1024));
  for (const char* name : {"bpe", "bpe:", "bpe:0", "bpe:-3", "bpe:65281", "bpe:2k", "word"}) {
    EXPECT_THAT(ParseBpeName(name),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chars, and bpe:N")));
  }
}

TEST(BpeTokenizerTest, JsonHasMergesAndBytes) {
  const std::string json = BpeTokenizer::Train({"ab\xff ab\xff"}, 2).Json("bpe:2");
  EXPECT_THAT(json, HasSubstr("\"merges\": [[97, 98], [256, 255]]"));
  EXPECT_THAT(json, HasSubstr("\"ab\", \"ab\\u00ff\"]"));
}

}  // namespace
}  // namespace allometry::data
