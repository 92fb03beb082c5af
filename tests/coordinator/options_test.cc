#include "coordinator/options.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::coordinator {
namespace {

using ::testing::HasSubstr;

Options Good() {
  Options options;
  options.db_path = "a.db";
  return options;
}

std::string Message(const Options& options) { return std::string(Validate(options).message()); }

TEST(OptionsTest, DefaultsAreAUnixSocketAndValid) {
  EXPECT_EQ(Message(Good()), "");
  const auto address = ListenAddressOf(Good());
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_TRUE(address->is_unix()) << address->ToString();
}

TEST(OptionsTest, TcpNeedsATokenOnLoopbackToo) {
  for (const char* listen : {"0.0.0.0:7447", "127.0.0.1:0", "[::1]:7447", "localhost:7447"}) {
    Options options = Good();
    options.listen = listen;
    EXPECT_EQ(Validate(options).code(), absl::StatusCode::kFailedPrecondition) << listen;
    EXPECT_THAT(Message(options), HasSubstr("--token-file")) << listen;
    options.tls_cert_file = "c.pem";
    options.tls_key_file = "k.pem";
    EXPECT_EQ(Validate(options).code(), absl::StatusCode::kFailedPrecondition) << listen;
    options.token_file = "token";
    EXPECT_EQ(Message(options), "") << listen;
  }
}

TEST(OptionsTest, ATokenForAUnixSocketIsAMistake) {
  Options options = Good();
  options.token_file = "token";
  EXPECT_THAT(Message(options), HasSubstr("name HOST:PORT"));
}

TEST(OptionsTest, AnAddressThatIsNoneIsNamedWithTheOption) {
  Options options = Good();
  options.listen = "http://127.0.0.1:7447";
  EXPECT_THAT(Message(options), HasSubstr("--listen 'http://127.0.0.1:7447'"));
}

TEST(OptionsTest, HalfATlsPairIsRefused) {
  Options options = Good();
  options.tls_cert_file = "c.pem";
  EXPECT_THAT(Message(options), HasSubstr("go together"));
}

TEST(OptionsTest, ARunThatMakesRoomNeedsTimeForItsCheckpoint) {
  Options options = Good();
  options.preempt_after_ms = 0;
  options.preempt_within_ms = 1;
  EXPECT_EQ(Message(options), "");
  options.preempt_within_ms = 0;
  EXPECT_THAT(Message(options), HasSubstr("--preempt-within 0"));
  options = Good();
  options.preempt_after_ms = -1;
  EXPECT_THAT(Message(options), HasSubstr("--preempt-after -"));
}

TEST(OptionsTest, ALeaseShorterThanThreeHeartbeatsIsRefused) {
  Options options = Good();
  options.lease_ms = 2999;
  EXPECT_THAT(Message(options), HasSubstr("three heartbeats of 1s"));
}

}  // namespace
}  // namespace allometry::coordinator
