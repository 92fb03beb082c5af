#include "transport/token.h"

#include <sys/stat.h>

#include <string>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::transport {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TokenTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_.Path("token");
    EXPECT_OK(WriteFileAtomically(path, text));
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  const testing::TemporaryFolder folder_;
};

TEST_F(TokenTest, TokensAreEqualOnlyWhenEveryByteIs) {
  EXPECT_TRUE(EqualInConstantTime("secret", "secret"));
  for (const char* other : {"secreT", "Secret", "secre", "secretsecret", ""}) {
    EXPECT_FALSE(EqualInConstantTime("secret", other)) << other;
  }
  EXPECT_FALSE(EqualInConstantTime("", "x"));
}

TEST_F(TokenTest, EveryLineIsATokenTheFirstFirst) {
  EXPECT_THAT(ReadTokens(Write("  0123456789abcdef \r\n\nfedcba9876543210\n")),
              IsOkAndHolds(ElementsAre("0123456789abcdef", "fedcba9876543210")));
}

TEST_F(TokenTest, AMistakeIsNamedByItsLineAndTheTokenIsNotShown) {
  const std::string good = "0123456789abcdef\n";
  EXPECT_THAT(ReadTokens(Write(good + "hunter2\n")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("token:2:"), HasSubstr("16 to 256 characters, this one 7"),
                             Not(HasSubstr("hunter2")))));
  EXPECT_THAT(ReadTokens(Write(good + "a token with spaces in it\n")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("without spaces"), Not(HasSubstr("a token with")))));
  EXPECT_THAT(ReadTokens(Write("0123456789abcdef\xc3\xa4\n")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token:1:")));
  EXPECT_THAT(ReadTokens(Write("\n \n")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no token")));
  EXPECT_THAT(ReadTokens(Write(std::string(257, 'x'))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("this one 257")));
  std::string many;
  for (int i = 0; i < 9; ++i) many += good;
  EXPECT_THAT(ReadTokens(Write(many)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 8")));
  EXPECT_THAT(ReadTokens(folder_.Path("missing")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadTokens("/dev/zero"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadTokens(folder_.path()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TokenTest, AFileThatOthersMayReadIsRefused) {
  for (const mode_t mode : {0644, 0604, 0620, 0666}) {
    EXPECT_THAT(ReadTokens(Write("0123456789abcdef\n", mode)),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 600")))
        << std::oct << mode;
  }
  for (const mode_t mode : {0600, 0400, 0640}) {
    EXPECT_OK(ReadTokens(Write("0123456789abcdef\n", mode))) << std::oct << mode;
  }
}

TEST_F(TokenTest, AMissingFileIsMadeAndOneThatIsThereStays) {
  const std::string path = folder_.Path("new");
  ASSERT_OK(MakeTokenFile(path));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> made, ReadTokens(path));
  EXPECT_EQ(made[0].size(), 64u);
  ASSERT_OK(MakeTokenFile(path));
  EXPECT_THAT(ReadTokens(path), IsOkAndHolds(made));
}

}  // namespace
}  // namespace allometry::transport
