#include "data/documents.h"

#include <sys/stat.h>
#include <zlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/input_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::AllOf;
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
}

TEST(ReadTextTest, OnlyRegularFilesWithSomethingInThemAreRead) {
  TemporaryFolder folder;
  const auto code = absl::StatusCode::kInvalidArgument;
  ASSERT_OK(WriteFileAtomically(folder.Path("empty"), ""));
  EXPECT_THAT(ReadText(folder.Path("empty")), StatusIs(code, HasSubstr("is empty")));
  ASSERT_EQ(mkfifo(folder.Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadText(folder.Path("pipe")), StatusIs(code, HasSubstr("a pipe")));
  EXPECT_THAT(ReadText("/dev/zero"), StatusIs(code, HasSubstr("a device")));
  EXPECT_THAT(ReadText(folder.path()), StatusIs(code, HasSubstr("a folder")));
}

TEST(InputFileTest, AFileThatIsWrittenToMeanwhileIsNoticed) {
  TemporaryFolder folder;
  ASSERT_OK(WriteFileAtomically(folder.Path("a"), "0123456789"));
  ASSERT_OK_AND_ASSIGN(const InputFile file, InputFile::Open(folder.Path("a")));
  std::string read(20, ' ');
  EXPECT_THAT(file.ReadAt(4, read), IsOkAndHolds(6u));
  EXPECT_OK(file.CheckUnchanged());
  std::filesystem::resize_file(folder.Path("a"), 5);
  EXPECT_THAT(file.CheckUnchanged(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("10 bytes before, 5 now")));
  EXPECT_THAT(file.ReadAt(4, read).status(), StatusIs(absl::StatusCode::kAborted));
}

TEST(ReadCorpusTest, JsonLinesAreToldAndOneFieldIsTaken) {
  TemporaryFolder folder;
  const auto code = absl::StatusCode::kInvalidArgument;
  const std::string path = folder.Path("a.jsonl");
  ASSERT_OK(WriteFileAtomically(path,
                                "{\"id\": 1, \"text\": \"one\\n\\ntwo\"}\r\n\r\n{\"text\": "
                                "\"d\\u00e9j\\u00e0\", \"id\": 2}\n"));
  EXPECT_THAT(ReadCorpus(path, "auto").status(),
              StatusIs(code, AllOf(HasSubstr("JSON Lines"), HasSubstr("--documents jsonl:text"))));
  for (const char* rule : {"jsonl", "jsonl:text"}) {
    ASSERT_OK_AND_ASSIGN(const auto corpus, ReadCorpus(path, rule));
    EXPECT_THAT(corpus->documents, ElementsAre("one\n\ntwo", "d\u00e9j\u00e0"));
  }
  EXPECT_THAT(ReadCorpus(path, "jsonl:body").status(),
              StatusIs(code, AllOf(HasSubstr("line 1"), HasSubstr("'body' is missing"),
                                   HasSubstr("text"))));
  EXPECT_THAT(ReadCorpus(path, "jsonl:id").status(), StatusIs(code, HasSubstr("no string")));
  ASSERT_OK(WriteFileAtomically(path, "{\"text\": \"one\"}\n{\"text\": \"two\"\n"));
  EXPECT_THAT(ReadCorpus(path, "jsonl").status(), StatusIs(code, HasSubstr("line 2")));
  ASSERT_OK(WriteFileAtomically(path, "{\"text\": " + std::string(100'000, '[') + "\n"));
  EXPECT_THAT(ReadCorpus(path, "jsonl").status(), StatusIs(code, HasSubstr("line 1")));
  ASSERT_OK(WriteFileAtomically(path, "[\n {\"text\": \"one\"},\n {\"text\": \"two\"}\n]\n"));
  EXPECT_THAT(ReadCorpus(path, "auto").status(), StatusIs(code, HasSubstr("one JSON document")));
  ASSERT_OK_AND_ASSIGN(const auto lines, ReadCorpus(path, "lines"));
  EXPECT_EQ(lines->documents.size(), 4u);
  // Text that only begins like it.
  ASSERT_OK(WriteFileAtomically(path, "{ is a brace.\n\n[1] is a reference.\n"));
  EXPECT_OK(ReadCorpus(path, "auto").status());
}

TEST(ReadCorpusTest, AnArchiveInGzipIsNoText) {
  TemporaryFolder folder;
  std::string tar(600, 'x');
  tar.replace(257, 5, "ustar");
  ASSERT_OK(WriteFileAtomically(folder.Path("a.tar.gz"), Gzip(tar)));
  EXPECT_THAT(ReadCorpus(folder.Path("a.tar.gz"), "auto").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tar archive")));
  ASSERT_OK(WriteFileAtomically(folder.Path("twice.gz"), Gzip(Gzip("text"))));
  EXPECT_THAT(ReadCorpus(folder.Path("twice.gz"), "auto").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gzip")));
}

TEST(ReadCorpusTest, AFileWithoutDocumentsIsRefused) {
  TemporaryFolder folder;
  ASSERT_OK(WriteFileAtomically(folder.Path("a"), "\n\n\n"));
  EXPECT_THAT(ReadCorpus(folder.Path("a"), "auto").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none of its 3 bytes")));
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
