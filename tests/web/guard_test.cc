#include "web/guard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/address.h"

namespace allometry::web {
namespace {

using ::testing::HasSubstr;

RequestFacts Get(const std::string& host) {
  return {.method = "GET", .path = "/api/sweeps", .host = host};
}

TEST(GuardTest, NamesOfThisMachineAndNumbersAreServed) {
  for (const char* host : {"localhost", "LOCALHOST:7448", "127.0.0.1:7448", "127.0.0.1", "[::1]:80",
                           "10.1.2.3:9000"}) {
    EXPECT_EQ(Judge({}, Get(host)).status, 200) << host;
  }
}

// evil.com may lead to 127.0.0.1, but a browser still says evil.com.
TEST(GuardTest, ANameThatIsNotItsOwnIsRefused) {
  for (const char* host : {"evil.com", "evil.com:7448", "localhost.evil.com", "127.0.0.1.evil.com",
                           "", "[::1", "[]", "localhost."}) {
    const Verdict verdict = Judge({}, Get(host));
    EXPECT_EQ(verdict.status, std::string(host) == "[::1" ? 200 : 403) << host;
  }
  EXPECT_EQ(Judge({.names = {"gpu1"}}, Get("GPU1:7448")).status, 200);
}

TEST(GuardTest, APageOfAnotherSiteIsRefused) {
  RequestFacts request = Get("127.0.0.1:7448");
  for (const char* origin :
       {"http://evil.com", "null", "http://127.0.0.1:9999", "http://localhost:7448"}) {
    request.origin = origin;
    EXPECT_EQ(Judge({}, request).status, 403) << origin;
  }
  request.origin = "http://127.0.0.1:7448";
  EXPECT_EQ(Judge({}, request).status, 200);
  request.origin = "";
  request.fetch_site = "cross-site";
  EXPECT_EQ(Judge({}, request).status, 403);
  request.fetch_site = "same-site";
  EXPECT_EQ(Judge({}, request).status, 403);
  for (const char* own : {"same-origin", "none", ""}) {
    request.fetch_site = own;
    EXPECT_EQ(Judge({}, request).status, 200) << own;
  }
}

TEST(GuardTest, ReadOnlyRefusesChanges) {
  RequestFacts post = Get("localhost:7448");
  post.method = "POST";
  post.path = "/api/cancel";
  post.origin = "http://localhost:7448";
  EXPECT_THAT(Judge({}, post).reason, HasSubstr("--allow-changes"));
  EXPECT_EQ(Judge({}, post).status, 403);
  EXPECT_EQ(Judge({.allow_changes = true}, post).status, 200);
  post.origin = "";
  EXPECT_EQ(Judge({.allow_changes = true}, post).status, 403) << "it must say where it comes from";
  post.origin = "http://localhost:7448";
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "PATCH"}) {
    post.method = method;
    EXPECT_EQ(Judge({.allow_changes = true}, post).status, 405) << method;
  }
}

TEST(GuardTest, DataNeedTheTokenAndThePageItselfDoesNot) {
  const GuardOptions options{.token = "0123456789abcdef"};
  RequestFacts request = Get("10.0.0.1:7448");
  EXPECT_EQ(Judge(options, request).status, 401);
  for (const char* wrong : {"Bearer ", "Bearer 0123456789abcdeg", "0123456789abcdef",
                            "Basic 0123456789abcdef", "Bearer 0123456789abcdef0"}) {
    request.authorization = wrong;
    EXPECT_EQ(Judge(options, request).status, 401) << wrong;
  }
  request.authorization = "Bearer 0123456789abcdef";
  EXPECT_EQ(Judge(options, request).status, 200);
  // It holds no data, and its script brings the token.
  EXPECT_EQ(Judge(options, {.method = "GET", .path = "/sweeps", .host = "10.0.0.1:7448"}).status,
            200);
}

TEST(GuardTest, DataOfAnotherUserAreRefused) {
  RequestFacts request = Get("localhost:7448");
  request.of_own_user = false;
  EXPECT_EQ(Judge({}, request).status, 403);
  request.path = "/static/app.js";
  EXPECT_EQ(Judge({}, request).status, 200);
}

TEST(GuardTest, LoopbackAloneNeedsNoToken) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"})
    EXPECT_TRUE(transport::IsLoopbackOnly(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.evil.com", "", "gpu1"})
    EXPECT_FALSE(transport::IsLoopbackOnly(host)) << host;
}

}  // namespace
}  // namespace allometry::web
