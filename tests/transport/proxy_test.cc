#include "transport/proxy.h"

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace allometry::transport {
namespace {

using Environment = std::map<std::string, std::string>;

std::string UrlFor(const std::string& host, const Environment& environment, int port = 7447) {
  Address address;
  address.host = host;
  address.port = port;
  return ProxyFor(address,
                  [&](const char* name) -> const char* {
                    const auto found = environment.find(name);
                    return found == environment.end() ? nullptr : found->second.c_str();
                  })
      .url;
}

TEST(ProxyTest, EveryVariableInEitherSpellingNamesOne) {
  for (const char* name :
       {"grpc_proxy", "https_proxy", "http_proxy", "GRPC_PROXY", "HTTPS_PROXY", "HTTP_PROXY"}) {
    EXPECT_EQ(UrlFor("203.0.113.7", {{name, "http://proxy:3128"}}), "http://proxy:3128") << name;
  }
  EXPECT_EQ(UrlFor("203.0.113.7", {{"http_proxy", "proxy:3128"}}), "http://proxy:3128");
  EXPECT_EQ(UrlFor("203.0.113.7", {{"http_proxy", "  "}}), "");
  EXPECT_EQ(UrlFor("203.0.113.7", {}), "");
}

TEST(ProxyTest, ThisMachineNeverGoesThroughOne) {
  const Environment environment = {{"http_proxy", "http://proxy:3128"},
                                   {"HTTPS_PROXY", "http://proxy:3128"},
                                   {"grpc_proxy", "http://proxy:3128"}};
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "0.0.0.0"}) {
    EXPECT_EQ(UrlFor(host, environment), "") << host;
  }
  Address unix_socket;
  unix_socket.path = "/run/x.sock";
  EXPECT_EQ(ProxyFor(unix_socket, [](const char*) { return "http://proxy:3128"; }).url, "");
}

TEST(ProxyTest, NoProxyIsReadInEverySpelling) {
  struct Case {
    std::string host;
    std::string list;
    bool goes_through;
  };
  const std::vector<Case> cases = {{"203.0.113.7", "203.0.113.7", false},
                                   {"203.0.113.7", "203.0.113.8", true},
                                   {"203.0.113.7", "203.0.113.0/24", false},
                                   {"203.0.113.7", "203.0.112.0/24", true},
                                   {"203.0.113.7", "10.0.0.0/8, 203.0.113.0/24", false},
                                   {"203.0.113.7", "0.0.0.0/0", false},
                                   {"203.0.113.7", "203.0.113.0/x", true},
                                   {"203.0.113.7", "203.0.113.0/33", true},
                                   {"203.0.113.7", "203.0.113.7:7447", false},
                                   {"203.0.113.7", "203.0.113.7:80", true},
                                   {"203.0.113.7", "*", false},
                                   {"2001:db8::7", "2001:db8::/32", false},
                                   {"2001:db8::7", "[2001:db8::7]:7447", false},
                                   {"2001:db8::7", "2001:db9::/32", true},
                                   {"head.invalid", "HEAD.INVALID", false},
                                   {"head.cluster.invalid", ".cluster.invalid", false},
                                   {"head.cluster.invalid", "*.cluster.invalid", false},
                                   {"head.cluster.invalid", "cluster.invalid", false},
                                   {"headcluster.invalid", "cluster.invalid", true},
                                   {"head.invalid", "other.invalid head.invalid", false},
                                   {"head.invalid", ",,:", true}};
  for (const Case& each : cases) {
    for (const char* name : {"no_proxy", "NO_PROXY", "no_grpc_proxy"}) {
      const std::string url =
          UrlFor(each.host, {{"http_proxy", "http://proxy:3128"}, {name, each.list}});
      EXPECT_EQ(!url.empty(), each.goes_through) << each.host << " " << name << "=" << each.list;
    }
  }
}

TEST(ProxyTest, ItsPasswordIsNotShown) {
  const Proxy proxy = {"http://me:secret@proxy.example:3128/", "https_proxy"};
  EXPECT_EQ(proxy.ToString(), "the proxy proxy.example:3128 that https_proxy names");
}

}  // namespace
}  // namespace allometry::transport
