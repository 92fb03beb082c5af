#include "data/documents.h"

#include <zlib.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Gzip(const std::string& text) {
  TemporaryFolder folder;
  const std::string path = folder.Path("x.gz");
  gzFile file = gzopen(path.c_str(), "wb");
  EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  gzclose(file);
  return *ReadFile(path);
}

TEST(ReadTextTest, UnpacksGzipOfSeveralPiecesAndReadsPlainTextAsItIs) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; text.size() < (3u << 20); ++i) text += std::to_string(i) + "\n";
  ASSERT_OK(WriteFileAtomically(folder.Path("plain"), text));
  ASSERT_OK(WriteFileAtomically(folder.Path("packed"), Gzip(text)));
  EXPECT_THAT(ReadText(folder.Path("plain")), IsOkAndHolds(text));
  EXPECT_THAT(ReadText(folder.Path("packed")), IsOkAndHolds(text));
  ASSERT_OK(WriteFileAtomically(folder.Path("empty"), ""));
  EXPECT_THAT(ReadText(folder.Path("empty")), IsOkAndHolds(""));
}

TEST(ReadTextTest, NamesTheFileThatIsMissingOrCutOff) {
  TemporaryFolder folder;
  EXPECT_THAT(ReadText(folder.Path("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(folder.Path("none"))));
  const std::string packed = Gzip(std::string(100000, 'a') + "b");
  ASSERT_OK(WriteFileAtomically(folder.Path("cut"), packed.substr(0, packed.size() - 9)));
  EXPECT_THAT(ReadText(folder.Path("cut")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(folder.Path("cut"))));
  std::string damaged = packed;
  damaged[packed.size() / 2] ^= 0x55;
  ASSERT_OK(WriteFileAtomically(folder.Path("damaged"), damaged));
  EXPECT_THAT(ReadText(folder.Path("damaged")), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(FindDocumentsTest, BlankLinesSeparateParagraphs) {
  EXPECT_THAT(FindDocuments("paragraphs", "\n\na\nb\n\n\n\n\nc\n\nd\n", ""),
              IsOkAndHolds(ElementsAre("a\nb", "c", "d")));
  EXPECT_THAT(FindDocuments("paragraphs", "\n\n\n", ""), IsOkAndHolds(ElementsAre()));
}

TEST(FindDocumentsTest, LinesAreDocumentsUnlessBlank) {
  EXPECT_THAT(FindDocuments("lines", "a\n\nb\nc", ""), IsOkAndHolds(ElementsAre("a", "b", "c")));
}

TEST(FindDocumentsTest, UnknownRuleIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(FindDocuments("chapters", "a", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dictd, paragraphs")));
}

//                            0         1         2         3         4
//                            01234567890123456789012345678901234567890123456789
constexpr char kDictionary[] = "\nabout me\n\nAsh\n  a tree\n\nBirch\n  another\nBoth\n";

TEST(FindDocumentsTest, DictdEntriesAreTheIndexesAndTheDescriptionIsNotText) {
  const std::string index =
      "00-database-info\tB\tI\n"  // bytes 1 to 8
      "00-alias\tB\tI\n"          // the same place by another headword
      "ash\tL\tN\n"               // 11 to 23
      "birch\tZ\tQ\n"             // 25 to 40
      "tree\tL\tN\n";
  EXPECT_THAT(FindDocuments("dictd", kDictionary, index),
              IsOkAndHolds(ElementsAre("Ash\n  a tree", "Birch\n  another")));
}

TEST(FindDocumentsTest, DictdNumbersAreBase64MostSignificantFirst) {
  const std::string text = std::string(64 * 2 + 3, '.') + "word" + std::string(70, '.');
  EXPECT_THAT(FindDocuments("dictd", text, "word\tCD\tE\n"), IsOkAndHolds(ElementsAre("word")));
}

TEST(FindDocumentsTest, IndexThatDoesNotFitIsRefusedByLine) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(FindDocuments("dictd", kDictionary, "ash\tL\tN\nno tabs\n"),
              StatusIs(code, HasSubstr("line 2")));
  EXPECT_THAT(FindDocuments("dictd", kDictionary, "ash\tL\t!\n"),
              StatusIs(code, HasSubstr("line 1")));
  EXPECT_THAT(FindDocuments("dictd", kDictionary, "ash\tL\tBB\n"),
              StatusIs(code, HasSubstr("ends at byte 76, the dictionary has 46")));
}

TEST(ReadCorpusTest, AutoTakesTheIndexBesideADictionaryAndParagraphsElsewhere) {
  TemporaryFolder folder;
  ASSERT_OK(WriteFileAtomically(folder.Path("trees.dict.dz"), Gzip(kDictionary)));
  EXPECT_THAT(ReadCorpus(folder.Path("trees.dict.dz"), "auto").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("trees.index")));
  ASSERT_OK(WriteFileAtomically(folder.Path("trees.index"), "ash\tL\tN\n"));
  ASSERT_OK_AND_ASSIGN(const auto dictionary, ReadCorpus(folder.Path("trees.dict.dz"), "auto"));
  EXPECT_EQ(dictionary->rule, "dictd");
  EXPECT_EQ(dictionary->file, "trees.dict.dz");
  EXPECT_THAT(dictionary->documents, ElementsAre("Ash\n  a tree"));

  ASSERT_OK(WriteFileAtomically(folder.Path("a.txt"), "x\n\ny"));
  ASSERT_OK_AND_ASSIGN(const auto text, ReadCorpus(folder.Path("a.txt"), "auto"));
  EXPECT_EQ(text->rule, "paragraphs");
  EXPECT_THAT(text->documents, ElementsAre("x", "y"));
}

}  // namespace
}  // namespace allometry::data
