#include "coordinator/services/access.h"

#include <filesystem>
#include <string>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::HasSubstr;

TEST(AccessTest, TokensAreEqualOnlyWhenEveryByteIs) {
  EXPECT_TRUE(EqualInConstantTime("secret", "secret"));
  EXPECT_FALSE(EqualInConstantTime("secret", "secreT"));
  EXPECT_FALSE(EqualInConstantTime("secret", "Secret"));
  EXPECT_FALSE(EqualInConstantTime("secret", "secre"));
  EXPECT_FALSE(EqualInConstantTime("secret", "secretsecret"));
  EXPECT_FALSE(EqualInConstantTime("secret", ""));
  EXPECT_FALSE(EqualInConstantTime("", "x"));
}

TEST(AccessTest, TokenIsTheFirstLineOfItsFile) {
  const std::string path = ::testing::TempDir() + "/access_test_token";
  ASSERT_TRUE(WriteFileAtomically(path, "  0123456789abcdef \nsecond line\n").ok());
  const auto token = ReadToken(path);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(*token, "0123456789abcdef");
  std::filesystem::remove(path);
}

TEST(AccessTest, ShortTokenIsRefusedWithItsLength) {
  const std::string path = ::testing::TempDir() + "/access_test_short";
  ASSERT_TRUE(WriteFileAtomically(path, "hunter2\n").ok());
  EXPECT_THAT(std::string(ReadToken(path).status().message()), HasSubstr("has 7 characters"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace allometry::coordinator
