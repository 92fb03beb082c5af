#include "data/npy.h"

#include <numeric>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::data {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

std::string File(const std::string& dict) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(dict.size());
  file += '\0';
  return file + dict;
}

TEST(NpyTest, EncodesWhatNumpySaves) {
  // numpy.save of numpy.array([1, 2, 300], dtype='<u2'), NumPy 1.24.
  std::string expected("\x93NUMPY\x01\x00v\x00", 10);
  expected += "{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }";
  expected.resize(127, ' ');
  expected += '\n';
  expected += std::string("\x01\x00\x02\x00\x2c\x01", 6);
  EXPECT_EQ(EncodeNpy(TokenType::kU16, std::vector<uint32_t>{1, 2, 300}), expected);
}

TEST(NpyTest, HeaderReadsBackForEveryTypeAndLength) {
  for (const TokenType type : {TokenType::kU8, TokenType::kU16, TokenType::kU32}) {
    for (const size_t count : {0u, 1u, 7u, 100000u}) {
      std::vector<uint32_t> tokens(count);
      for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<uint32_t>(i % 256);
      const std::string file = EncodeNpy(type, tokens);
      ASSERT_OK_AND_ASSIGN(const NpyHeader header, ParseNpyHeader(file));
      EXPECT_EQ(header.type, type);
      EXPECT_EQ(header.count, static_cast<int64_t>(count));
      EXPECT_EQ(header.offset % 64, 0);
      EXPECT_EQ(header.offset + header.count * BytesOf(type), static_cast<int64_t>(file.size()));
    }
  }
}

TEST(NpyTest, RefusesWhatIsNotOneDimensionOfUnsignedIntegers) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ParseNpyHeader(""), StatusIs(code, HasSubstr("not a .npy file")));
  EXPECT_THAT(ParseNpyHeader("PK\x03\x04 something else"), StatusIs(code, HasSubstr("not a .npy")));
  EXPECT_THAT(ParseNpyHeader(File("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n")),
              StatusIs(code, HasSubstr("'<f4'")));
  EXPECT_THAT(ParseNpyHeader(File("{'descr': '>u2', 'fortran_order': False, 'shape': (3,), }\n")),
              StatusIs(code, HasSubstr("'>u2'")));
  EXPECT_THAT(ParseNpyHeader(File("{'descr': '<u2', 'fortran_order': False, 'shape': (3, 2), }\n")),
              StatusIs(code, HasSubstr("(3, 2)")));
  EXPECT_THAT(ParseNpyHeader(File("{'descr': '<u2', 'fortran_order': False, 'shape': (), }\n")),
              StatusIs(code, HasSubstr("one dimension")));
  EXPECT_THAT(ParseNpyHeader(File("{'descr': '<u2', 'shape': (3,), }\n").substr(0, 20)),
              StatusIs(code, HasSubstr("cut off")));
}

TEST(NpyTest, NarrowestTypeHoldsEveryId) {
  EXPECT_EQ(NarrowestType(1), TokenType::kU8);
  EXPECT_EQ(NarrowestType(256), TokenType::kU8);
  EXPECT_EQ(NarrowestType(257), TokenType::kU16);
  EXPECT_EQ(NarrowestType(65536), TokenType::kU16);
  EXPECT_EQ(NarrowestType(65537), TokenType::kU32);
}

TEST(NpyTest, TypeNamesReadBack) {
  for (const TokenType type : {TokenType::kU8, TokenType::kU16, TokenType::kU32}) {
    EXPECT_THAT(ParseTokenType(NameOf(type)), IsOkAndHolds(type));
  }
  EXPECT_THAT(ParseTokenType("i64"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'i64'")));
}

TEST(NpyDeathTest, TokenThatDoesNotFitIsAProgrammersError) {
  EXPECT_DEATH(EncodeNpy(TokenType::kU8, std::vector<uint32_t>{256}), "256");
}

}  // namespace
}  // namespace allometry::data
