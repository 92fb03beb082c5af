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

TEST(OptionsTest, DefaultsAreLoopbackAndValid) { EXPECT_EQ(Message(Good()), ""); }

TEST(OptionsTest, ListenAddressNamesWhatIsWrong) {
  for (const auto& [text, what] :
       std::vector<std::pair<std::string, std::string>>{{"localhost", "no port"},
                                                        {"127.0.0.1:x", "not a number"},
                                                        {"127.0.0.1:65536", "0..65535"},
                                                        {"::1:7447", "brackets"},
                                                        {":7447", "no host"}}) {
    const auto parsed = ParseListenAddress(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(what));
  }
}

TEST(OptionsTest, LoopbackIsKnownInEveryWriting) {
  for (const char* text : {"127.0.0.1:0", "127.3.2.1:1", "[::1]:7447", "localhost:7447"}) {
    const auto parsed = ParseListenAddress(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_TRUE(parsed->loopback) << text;
    EXPECT_EQ(parsed->ToString(), text);
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "head.example.org:1"}) {
    const auto parsed = ParseListenAddress(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_FALSE(parsed->loopback) << text;
  }
}

TEST(OptionsTest, AnAddressBeyondLoopbackNeedsTlsAndAToken) {
  Options options = Good();
  options.listen = "0.0.0.0:7447";
  EXPECT_EQ(Validate(options).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(options), HasSubstr("--tls-cert, --tls-key and --token-file"));
  options.tls_cert_file = "c.pem";
  options.tls_key_file = "k.pem";
  EXPECT_EQ(Validate(options).code(), absl::StatusCode::kFailedPrecondition);
  options.token_file = "token";
  EXPECT_EQ(Message(options), "");
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
  EXPECT_THAT(Message(options), HasSubstr("--preempt-within-ms 0"));
  options = Good();
  options.preempt_after_ms = -1;
  EXPECT_THAT(Message(options), HasSubstr("--preempt-after-ms -1"));
}

TEST(OptionsTest, ALeaseShorterThanThreeHeartbeatsIsRefused) {
  Options options = Good();
  options.lease_ms = 2999;
  EXPECT_THAT(Message(options), HasSubstr("three heartbeats of 1000 ms"));
}

}  // namespace
}  // namespace allometry::coordinator
