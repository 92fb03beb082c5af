#include "data/text_encoding.h"

#include <string>
#include <vector>

#include "data/file_kind.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::Status Refusal(const std::string& bytes, const std::string& encoding = "auto") {
  return ToPlainText(bytes, encoding, "a/file").status();
}

// `text` in Latin letters with `width` bytes a character, the letter at `place` of them.
std::string Wide(const std::string& text, int width, int place) {
  std::string bytes;
  for (const char c : text) {
    std::string one(static_cast<size_t>(width), '\0');
    one[static_cast<size_t>(place)] = c;
    bytes += one;
  }
  return bytes;
}

const char kLetters[] = "Forty-two letters and more, on one line.\n\nAnd another paragraph.\n";

TEST(ToPlainTextTest, Utf8StaysAsItIs) {
  for (const std::string text :
       {"", "plain\n\ntext\n", "na\xC3\xAFve \xE2\x82\xAC\n", "\x1B[1mbold\x1B[0m\ttab\f"}) {
    ASSERT_OK_AND_ASSIGN(const PlainText plain, ToPlainText(text, "auto", "f"));
    EXPECT_EQ(plain.text, text);
    EXPECT_EQ(plain.changes, "");
    EXPECT_THAT(plain.notes, IsEmpty());
  }
}

TEST(ToPlainTextTest, WordsThatAFormatBeginsWithAreTextInText) {
  for (const std::string text :
       {"ORC is the start of this sentence.", "PAR1 of a series of papers",
        "BZh is no word at all, but here it is", "GGUF files are models, it says",
        "070701 was a date of the year"}) {
    EXPECT_OK(Refusal(text));
  }
}

TEST(ToPlainTextTest, LineEndsBecomeNewlinesAndAMarkGoes) {
  ASSERT_OK_AND_ASSIGN(PlainText plain, ToPlainText("a\r\nb\r\n\r\nc\r\n", "auto", "f"));
  EXPECT_EQ(plain.text, "a\nb\n\nc\n");
  EXPECT_THAT(plain.changes, HasSubstr("CRLF"));
  EXPECT_THAT(plain.notes, ElementsAre(HasSubstr("4 lines")));
  ASSERT_OK_AND_ASSIGN(plain, ToPlainText("a\rb\r\rc\r", "auto", "f"));
  EXPECT_EQ(plain.text, "a\nb\n\nc\n");
  ASSERT_OK_AND_ASSIGN(plain, ToPlainText("\xEF\xBB\xBF"
                                          "a\n",
                                          "auto", "f"));
  EXPECT_EQ(plain.text, "a\n");
  EXPECT_THAT(plain.changes, HasSubstr("byte-order mark"));
}

TEST(ToPlainTextTest, TextOfTwoOrFourBytesACharacterIsNamedAndConvertedWhenAsked) {
  const struct {
    std::string bytes;
    const char* encoding;
  } kWide[] = {
      {"\xFF\xFE" + Wide(kLetters, 2, 0), "utf-16"},
      {"\xFE\xFF" + Wide(kLetters, 2, 1), "utf-16"},
      {Wide(kLetters, 2, 0), "utf-16le"},
      {Wide(kLetters, 2, 1), "utf-16be"},
      {std::string("\xFF\xFE\0\0", 4) + Wide(kLetters, 4, 0), "utf-32"},
      {std::string("\0\0\xFE\xFF", 4) + Wide(kLetters, 4, 3), "utf-32"},
  };
  for (const auto& wide : kWide) {
    EXPECT_THAT(Refusal(wide.bytes),
                StatusIs(kInvalid, AllOf(HasSubstr("a/file is text in UTF-"),
                                         HasSubstr(std::string("--encoding ") + wide.encoding))));
    ASSERT_OK_AND_ASSIGN(const PlainText plain, ToPlainText(wide.bytes, wide.encoding, "f"));
    EXPECT_EQ(plain.text, kLetters) << wide.encoding;
  }
  EXPECT_THAT(Refusal(Wide(kLetters, 4, 0)), StatusIs(kInvalid, HasSubstr("UTF-32")));
}

TEST(ToPlainTextTest, Latin1IsTakenWithANoteAndConvertedWhenAsked) {
  const std::string latin1 = "caf\xE9 au lait\n";
  ASSERT_OK_AND_ASSIGN(PlainText plain, ToPlainText(latin1, "auto", "f"));
  EXPECT_EQ(plain.text, latin1);
  EXPECT_THAT(plain.notes, ElementsAre(AllOf(HasSubstr("byte 3"), HasSubstr("latin-1"))));
  ASSERT_OK_AND_ASSIGN(plain, ToPlainText(latin1, "latin-1", "f"));
  EXPECT_EQ(plain.text, "caf\xC3\xA9 au lait\n");
  EXPECT_THAT(plain.notes, IsEmpty());
  ASSERT_OK_AND_ASSIGN(plain, ToPlainText("\x93quoted\x94 text", "windows-1252", "f"));
  EXPECT_EQ(plain.text, "\u201cquoted\u201d text");
  EXPECT_THAT(Refusal(latin1, "utf-8"), StatusIs(absl::StatusCode::kDataLoss,
                                                 AllOf(HasSubstr("byte 3"), HasSubstr("utf-8"))));
  EXPECT_THAT(Refusal(latin1, "ebcdic"),
              StatusIs(kInvalid, AllOf(HasSubstr("'ebcdic'"), HasSubstr("latin-1"))));
}

TEST(ToPlainTextTest, CutOffWideTextIsDamaged) {
  const std::string bytes = "\xFF\xFE" + Wide(kLetters, 2, 0);
  EXPECT_THAT(Refusal(bytes.substr(0, bytes.size() - 1), "utf-16"),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ToPlainTextTest, BinaryFilesAreRefusedUnlessBytesAreAskedFor) {
  std::string zeros = "almost text, ";
  zeros += '\0';
  EXPECT_THAT(Refusal(zeros),
              StatusIs(kInvalid, AllOf(HasSubstr("1 of its 14 bytes are 0"), HasSubstr("byte 13"),
                                       HasSubstr("--encoding bytes"))));
  EXPECT_THAT(Refusal(std::string(100, '\x05')),
              StatusIs(kInvalid, HasSubstr("control characters")));
  ASSERT_OK_AND_ASSIGN(const PlainText plain, ToPlainText(zeros + "\r\n", "bytes", "f"));
  EXPECT_EQ(plain.text, zeros + "\r\n");
}

TEST(KindOfFrontTest, FormatsAreToldByTheirFirstBytes) {
  const std::string rest(600, '\x07');
  std::string tar(257, 'x');
  tar += "ustar";
  const std::string zip = "PK\x03\x04" + std::string(26, '\0');
  const struct {
    std::string bytes;
    const char* name;
    const char* advice;
  } kFormats[] = {
      {std::string("\xFD\x37zXZ\0", 6), "xz", "xz -dk a/file"},
      {"\x28\xB5\x2F\xFD", "zstd", "zstd -d a/file"},
      {"BZh91AY&SY", "bzip2", "bzip2 -dk a/file"},
      {"\x1F\x8B\x08", "gzip", "gzip -dk a/file"},
      {"\x04\x22\x4D\x18", "lz4", "lz4 -d"},
      {"7z\xBC\xAF\x27\x1C", "7z", "unpack"},
      {"Rar!\x1A\x07", "RAR", "unpack"},
      {tar, "tar", "tar -xf a/file"},
      {zip + "text.txt", "zip", "unpack"},
      {zip + "arr_0.npy", ".npz", "import-bin"},
      {zip + "[Content_Types].xml", "office", "plain text"},
      {zip + "archive/data.pkl", "PyTorch", "model"},
      {"PAR1\x15\x04", "Parquet", "JSON Lines"},
      {std::string("ARROW1\0\0", 8), "Arrow", "JSON Lines"},
      {std::string("\xFF\xFF\xFF\xFF\x10\0\0\0", 8), "Arrow", "JSON Lines"},
      {"\x93NUMPY\x01", "NumPy", "import-bin"},
      {"\x89HDF\r\n\x1A\n", "HDF5", "import-hdf5"},
      {std::string("SQLite format 3\0", 16), "SQLite", "plain text"},
      {"%PDF-1.7\n", "PDF", "pdftotext"},
      {"\x89PNG\r\n\x1A\n", "PNG", "plain text"},
      {"\x7F"
       "ELF\x02",
       "ELF", "plain text"},
      {"  <!DOCTYPE html>\n<html>", "HTML", "tags"},
      {"<html lang=en>", "HTML", "tags"},
      {"<?xml version=\"1.0\"?>", "XML", "tags"},
      {"\x80\x04\x95", "pickled", "plain text"},
  };
  for (const auto& format : kFormats) {
    const std::optional<FileKind> kind = KindOfFront(format.bytes + rest, "a/file");
    ASSERT_TRUE(kind.has_value()) << format.name;
    EXPECT_THAT(kind->name, HasSubstr(format.name));
    EXPECT_THAT(kind->advice, HasSubstr(format.advice));
    EXPECT_THAT(Refusal(format.bytes + rest), StatusIs(kInvalid, HasSubstr(format.name)));
  }
  EXPECT_FALSE(KindOfFront("Plain text.", "f").has_value());
  EXPECT_FALSE(KindOfFront("", "f").has_value());
}

}  // namespace
}  // namespace allometry::data
