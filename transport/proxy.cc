#include "transport/proxy.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace allometry::transport {
namespace {

// An IPv4 address as the IPv6 address that maps it.
using Bytes = std::array<uint8_t, 16>;

std::optional<Bytes> ParseIp(const std::string& text) {
  Bytes bytes{};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes[10] = bytes[11] = 0xff;
  if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

// What the host's name stands for; itself, where it is an address.
std::vector<Bytes> AddressesOf(const std::string& host) {
  if (const std::optional<Bytes> own = ParseIp(host)) return {*own};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  std::vector<Bytes> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Bytes bytes{};
    if (at->ai_family == AF_INET) {
      bytes[10] = bytes[11] = 0xff;
      std::memcpy(bytes.data() + 12, &reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr,
                  4);
    } else if (at->ai_family == AF_INET6) {
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr, 16);
    } else {
      continue;
    }
    addresses.push_back(bytes);
  }
  freeaddrinfo(found);
  return addresses;
}

bool IsIn(const Bytes& address, const Bytes& network, int bits) {
  for (int bit = 0; bit < bits; ++bit) {
    const uint8_t mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    const auto byte = static_cast<size_t>(bit / 8);
    if (((address[byte] ^ network[byte]) & mask) != 0) return false;
  }
  return true;
}

bool IsLoopbackAddress(const Bytes& address) {
  return IsIn(address, *ParseIp("127.0.0.0"), 96 + 8) || address == *ParseIp("::1");
}

// Whether an entry of no_proxy is about this host.
bool Matches(std::string entry, const Address& address, const std::vector<Bytes>& addresses) {
  entry = absl::AsciiStrToLower(absl::StripAsciiWhitespace(entry));
  if (entry == "*") return true;
  // A port: "host:7447", "[::1]:7447"; an IPv6 address alone has several colons.
  const size_t colon = entry.rfind(':');
  if (colon != std::string::npos && (entry.find(':') == colon || entry[colon - 1] == ']')) {
    if (entry.substr(colon + 1) != absl::StrCat(address.port)) return false;
    entry.resize(colon);
  }
  if (absl::StartsWith(entry, "[") && absl::EndsWith(entry, "]")) {
    entry = entry.substr(1, entry.size() - 2);
  }
  if (entry.empty()) return false;
  const std::vector<std::string> parts = absl::StrSplit(entry, absl::MaxSplits('/', 1));
  if (const std::optional<Bytes> network = ParseIp(parts[0])) {
    const int whole = absl::StrContains(parts[0], ':') ? 128 : 32;
    int bits = whole;
    if (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &bits) || bits < 0 || bits > whole)) {
      return false;
    }
    return std::any_of(addresses.begin(), addresses.end(),
                       [&](const Bytes& own) { return IsIn(own, *network, 128 - whole + bits); });
  }
  absl::string_view domain = entry;
  absl::ConsumePrefix(&domain, "*");
  absl::ConsumePrefix(&domain, ".");
  const std::string host = absl::AsciiStrToLower(address.host);
  return host == domain || absl::EndsWith(host, absl::StrCat(".", domain));
}

}  // namespace

std::string Proxy::ToString() const {
  absl::string_view shown = url;
  if (const size_t user = shown.rfind('@'); user != absl::string_view::npos) {
    shown.remove_prefix(user + 1);
  } else if (const size_t scheme = shown.find("://"); scheme != absl::string_view::npos) {
    shown.remove_prefix(scheme + 3);
  }
  return absl::StrCat("the proxy ", absl::StripSuffix(shown, "/"), " that ", variable, " names");
}

Proxy ProxyFor(const Address& address, const std::function<const char*(const char*)>& get) {
  // In either spelling; the variable's name as it was found.
  const auto find = [&](const std::vector<std::string>& names) -> Proxy {
    for (const std::string& name : names) {
      for (const std::string& spelling : {name, absl::AsciiStrToUpper(name)}) {
        const char* value = get(spelling.c_str());
        if (value != nullptr && !absl::StripAsciiWhitespace(value).empty()) {
          return {std::string(absl::StripAsciiWhitespace(value)), spelling};
        }
      }
    }
    return {};
  };
  if (address.is_unix() || IsLoopback(address.host)) return {};
  Proxy proxy = find({"grpc_proxy", "https_proxy", "http_proxy"});
  if (proxy.url.empty()) return {};
  const std::vector<Bytes> addresses = AddressesOf(address.host);
  if (std::any_of(addresses.begin(), addresses.end(), IsLoopbackAddress)) return {};
  for (const char* list : {"no_grpc_proxy", "no_proxy"}) {
    for (const absl::string_view entry :
         absl::StrSplit(find({list}).url, absl::ByAnyChar(", \t"), absl::SkipEmpty())) {
      if (Matches(std::string(entry), address, addresses)) return {};
    }
  }
  if (!absl::StrContains(proxy.url, "://")) proxy.url = "http://" + proxy.url;
  return proxy;
}

}  // namespace allometry::transport
