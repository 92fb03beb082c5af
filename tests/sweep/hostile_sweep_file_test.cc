// Sweep files come over the network: whatever the bytes, ParseSweepFile returns, and says what is
// wrong. tests/sweep/corpus/ holds what broke it or might have; the fuzzer starts from it too.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/utf8.h"
#include "coordinator/sweep/sweep_reader.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string MessageOf(absl::string_view yaml) {
  return std::string(ParseSweepFile(yaml, "a.yaml").status().message());
}

TEST(HostileSweepFileTest, AFileWithoutASweepSaysWhatIsExpected) {
  const std::string empty =
      "a.yaml:1: the file is empty: a sweep with name, dataset, model, training and budgets is "
      "expected";
  EXPECT_EQ(MessageOf(""), empty);
  EXPECT_EQ(MessageOf("\n\n# nothing\n"), empty);
  EXPECT_EQ(MessageOf("---\n"), empty);
  EXPECT_EQ(MessageOf("~"), empty);
  EXPECT_THAT(MessageOf("- a\n- b\n"), StartsWith("a.yaml:1: the file is a list: a map is"));
  EXPECT_THAT(MessageOf("hello"), StartsWith("a.yaml:1: the file is a single value: a map is"));
  EXPECT_EQ(MessageOf("a: 1\n---\nb: 2\n"),
            "a.yaml:2: the YAML document ends before this line: one document is allowed");
  // YAML::LoadAll would find empty documents before the comma until memory ends.
  EXPECT_EQ(MessageOf(",name: a\n"),
            "a.yaml:1: the YAML document ends before this line: one document is allowed");
}

TEST(HostileSweepFileTest, BrokenYamlIsNamedByItsLine) {
  EXPECT_THAT(MessageOf("name: a\nmodel: {context: 32\ntraining: 5\n"),
              AllOf(StartsWith("a.yaml:"), HasSubstr(": this is not YAML: ")));
  EXPECT_THAT(MessageOf("name: a\nmodel: [1, 2\n"), HasSubstr(": this is not YAML: "));
  EXPECT_THAT(MessageOf("name: a\n  b: c: d\n"), StartsWith("a.yaml:2: this is not YAML: "));
  EXPECT_THAT(MessageOf("name: *nobody\n"), StartsWith("a.yaml:1: this is not YAML: "));
}

TEST(HostileSweepFileTest, EveryLineIndentedByATabIsNamed) {
  EXPECT_EQ(MessageOf("name: a\nmodel:\n\tcontext: 32\n \tsizes: [5k]\n\t# a comment may\n"),
            "a.yaml:3: a tab indents this line: YAML is indented with spaces\n"
            "a.yaml:4: a tab indents this line: YAML is indented with spaces");
  EXPECT_OK(ParseSweepFile(SweepWith("context: 32", "context:\t32\t# a tab"), "a.yaml"));
}

TEST(HostileSweepFileTest, BytesThatAreNotTextAreNamedByTheirLine) {
  EXPECT_EQ(MessageOf("name: a\ndataset: caf\xe9\n"), "a.yaml:2: byte 0xe9 is not UTF-8 text");
  EXPECT_EQ(MessageOf("\xff\xfen\0a\0"), "a.yaml:1: byte 0xff is not UTF-8 text");
  EXPECT_EQ(MessageOf(absl::string_view("name: a\0b\n", 10)),
            "a.yaml:1: byte 0x00 is not UTF-8 text");
  EXPECT_OK(ParseSweepFile(absl::StrCat("# größe ≤ 5k 🙂\n", kSweep), "a.yaml"));
  EXPECT_OK(ParseSweepFile(absl::StrCat("\xef\xbb\xbf", kSweep), "a.yaml"));
}

TEST(HostileSweepFileTest, Utf8IsThatOfRfc3629) {
  EXPECT_EQ(FirstInvalidUtf8("a\u00e9\u20ac\U0001f642"), absl::string_view::npos);
  for (const char* bad : {"ab\x80", "ab\xc0\xaf", "ab\xe0\x80\xaf", "ab\xed\xa0\x80",
                          "ab\xf0\x80\x80\xaf", "ab\xf4\x90\x80\x80", "ab\xf5", "ab\xe2\x82"}) {
    EXPECT_EQ(FirstInvalidUtf8(bad), 2u);
  }
}

TEST(HostileSweepFileTest, MoreThanAMebibyteIsRefusedUnread) {
  const std::string comment(1 << 20, '#');
  EXPECT_EQ(MessageOf(comment + "\n"),
            "a.yaml:1: the file has 1048577 bytes: allowed are at most 1048576");
  EXPECT_THAT(MessageOf(comment), HasSubstr("the file is empty"));
}

TEST(HostileSweepFileTest, AnchorsAndAliasesWork) {
  ASSERT_OK_AND_ASSIGN(
      const SweepFile file,
      ParseSweepFile(SweepWith("flops: [1e10, 1e11, 1e12]", "flops: *list",
                               SweepWith("sizes: [5k, 20k, 80k]", "sizes: &list [5k, 20k, 80k]")),
                     "a.yaml"));
  EXPECT_EQ(file.budgets.size(), 3u);
  EXPECT_EQ(file.budgets[2].value, 80000);
}

TEST(HostileSweepFileTest, AliasesThatGrowWithoutEndAreOnlyAWrongType) {
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i <= 60; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [*a", i - 1, ", *a", i - 1, "]\n");
  }
  EXPECT_THAT(MessageOf(bomb), HasSubstr("unknown key a60"));
  EXPECT_THAT(MessageOf("model: &m {family: *m}\n"), StartsWith("a.yaml:1: "));
}

TEST(HostileSweepFileTest, DeepNestingIsRefused) {
  for (const char open : {'[', '{'}) {
    EXPECT_THAT(MessageOf(std::string(500'000, open)), StartsWith("a.yaml:1: "));
  }
  std::string stairs;
  for (int i = 0; i < 1300; ++i) absl::StrAppend(&stairs, std::string(i, ' '), "- \n");
  EXPECT_THAT(MessageOf(stairs), StartsWith("a.yaml:"));
}

TEST(HostileSweepFileTest, ManyKeysAreRefusedAtOnce) {
  std::string yaml;
  for (int i = 0; i < 40'000; ++i) absl::StrAppend(&yaml, "k", i, ": 1\n");
  EXPECT_EQ(MessageOf(yaml), "a.yaml:1: the file has 40000 entries: allowed are at most 200");
}

// As read they would take six hundred bytes each.
TEST(HostileSweepFileTest, MoreThanAHundredThousandValuesAreRefusedUnread) {
  std::string yaml;
  for (int i = 0; i < 60'000; ++i) absl::StrAppend(&yaml, "k", i, ": 1\n");
  EXPECT_EQ(MessageOf(yaml),
            "a.yaml:50000: the file goes on beyond 100000 names, values and lists");
  yaml = "a: [";
  for (int i = 0; i < 300'000; ++i) absl::StrAppend(&yaml, "0,");
  EXPECT_THAT(MessageOf(yaml + "0]\n"), HasSubstr("goes on beyond 100000"));
}

TEST(HostileSweepFileTest, LongWordsAreShortenedInMessages) {
  const std::string message =
      MessageOf(SweepWith("context: 32", "context: " + std::string(9999, 'x')));
  EXPECT_LT(message.size(), 200u);
  EXPECT_THAT(message, HasSubstr("... is not a number"));
}

void ExpectReadOrRefusedWithALine(const std::string& bytes, const std::string& name) {
  const auto file = ParseSweepFile(bytes, "a.yaml");
  if (!file.ok()) {
    EXPECT_THAT(file, StatusIs(kInvalid, StartsWith("a.yaml:"))) << name;
    return;
  }
  const auto expansion = Expand(*file, Words());
  if (!expansion.ok()) {
    EXPECT_THAT(expansion, StatusIs(kInvalid, StartsWith("a.yaml:"))) << name;
  }
}

TEST(HostileSweepFileTest, EveryFileOfTheCorpusIsReadOrRefusedWithALine) {
  const std::filesystem::path corpus = std::string(ALLO_SOURCE_DIR) + "/tests/sweep/corpus";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(entry.path().string()));
    ExpectReadOrRefusedWithALine(bytes, entry.path().string());
    ++files;
  }
  EXPECT_GE(files, 10);
}

TEST(HostileSweepFileTest, TruncatedFilesAreReadOrRefusedWithALine) {
  const std::string whole(kSweep);
  for (size_t length = 0; length < whole.size(); ++length) {
    ExpectReadOrRefusedWithALine(whole.substr(0, length), absl::StrCat(length, " bytes"));
  }
}

TEST(HostileSweepFileTest, FilesWithAWrongByteAreReadOrRefusedWithALine) {
  const std::string whole(kSweep);
  for (size_t place = 0; place < whole.size(); ++place) {
    for (const char c : absl::string_view("\n:-{}[]&*!|>'\"%@`#,?~0\t \x80")) {
      std::string damaged = whole;
      damaged[place] = c;
      ExpectReadOrRefusedWithALine(damaged, damaged);
    }
  }
}

}  // namespace
}  // namespace allometry::sweep
