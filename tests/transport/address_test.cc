#include "transport/address.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::transport {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(AddressTest, WhatIsWrongIsNamedWithTheOptionAndTheValue) {
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"", "it is empty"},
      {"localhost", "no port"},
      {"[::1]", "no port"},
      {"127.0.0.1:", "port '' is not a number"},
      {"127.0.0.1:x", "port 'x' is not a number"},
      {"127.0.0.1:-1", "port '-1' is not a number"},
      {"127.0.0.1:7447/", "port '7447/' is not a number"},
      {"127.0.0.1:99999", "port 99999 is not in 1..65535"},
      {"127.0.0.1:99999999999999999999", "not in 1..65535"},
      {"127.0.0.1:0", "port 0 is not in 1..65535"},
      {"::1:7447", "brackets"},
      {":7447", "no host"},
      {"[]:7447", "no host"},
      {"[12::zz]:7447", "not an IPv6 address"},
      {"256.0.0.1:7447", "not an IPv4 address"},
      {"127.0.0.1.5:7447", "not an IPv4 address"},
      {"a b:7447", "not the name of a host"},
      {"me@host:7447", "not the name of a host"},
      {"http://localhost:7447", "take http:// away"},
      {"https://localhost:7447/", "take https:// away"},
      {"dns:///localhost:7447", "take dns:// away"},
      {"unix:", "path of a file"},
      {"unix:folder/", "path of a file"}};
  for (const auto& [text, what] : mistakes) {
    EXPECT_THAT(ParseAddress(text, "ALLO_COORDINATOR"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("ALLO_COORDINATOR '" + text + "'"), HasSubstr(what),
                               HasSubstr("HOST:PORT"))))
        << text;
  }
}

TEST(AddressTest, WhatIsRightIsWrittenAsItWasRead) {
  for (const char* text :
       {"127.0.0.1:1", "127.3.2.1:65535", "[::1]:7447", "localhost:7447", "head.example.org:1",
        "node_7:7447", "[fe80::1%eth0]:7447", "unix:/run/a b/c.sock"}) {
    ASSERT_OK_AND_ASSIGN(const Address address, ParseAddress(text, "--listen"));
    EXPECT_EQ(address.ToString(), text);
  }
  EXPECT_OK(ParseAddress("127.0.0.1:0", "--listen", /*any_port=*/true));
}

TEST(AddressTest, APathIsMadeAbsolute) {
  ASSERT_OK_AND_ASSIGN(const Address address, ParseAddress("unix:run/./x.sock", "--listen"));
  EXPECT_EQ(address.path, std::filesystem::current_path().string() + "/run/x.sock");
  ASSERT_OK_AND_ASSIGN(const Address url, ParseAddress("unix:///run/x.sock", "--listen"));
  EXPECT_EQ(url.path, "/run/x.sock");
}

TEST(AddressTest, OnlyThisMachineIsLoopback) {
  for (const char* host : {"127.0.0.1", "127.3.2.1", "::1", "localhost", "LOCALHOST", "localhost.",
                           "::ffff:127.0.0.1", "0.0.0.0", "::"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"127.example.org", "127.0.0.1.nip.io", "10.0.0.1", "128.0.0.1",
                           "localhost.example.org", "fe80::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(AddressTest, TheDefaultIsASocketInAFolderOfThisUser) {
  ASSERT_OK_AND_ASSIGN(const Address address, ParseAddress(DefaultListenAddress(), "--listen"));
  EXPECT_TRUE(address.is_unix());
  EXPECT_THAT(address.path, HasSubstr("allometry"));
  EXPECT_LT(address.path.size(), 100u);
}

}  // namespace
}  // namespace allometry::transport
