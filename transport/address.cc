#include "transport/address.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace allometry::transport {
namespace {

bool MayBeInAHostName(char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || (c & 0x80) != 0;
}

// What is wrong with a host; empty: nothing.
std::string HostMistake(const std::string& host, bool bracketed) {
  if (host.empty()) return "there is no host before the port";
  if (bracketed) {
    in6_addr v6;
    const std::string without_zone = host.substr(0, host.find('%'));
    return inet_pton(AF_INET6, without_zone.c_str(), &v6) == 1
               ? ""
               : absl::StrFormat("'%s' is not an IPv6 address", host);
  }
  if (!std::all_of(host.begin(), host.end(), MayBeInAHostName)) {
    return absl::StrFormat("'%s' is not the name of a host", host);
  }
  const bool numeric = std::all_of(host.begin(), host.end(),
                                   [](char c) { return absl::ascii_isdigit(c) || c == '.'; });
  in_addr v4;
  if (numeric && inet_pton(AF_INET, host.c_str(), &v4) != 1) {
    return absl::StrFormat("'%s' is not an IPv4 address", host);
  }
  return "";
}

bool IsMine(const std::string& folder) {
  struct stat status {};
  return stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == geteuid();
}

std::vector<std::string> DefaultSockets() {
  std::vector<std::string> folders;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/' && IsMine(runtime)) folders.emplace_back(runtime);
  const std::string of_login = absl::StrCat("/run/user/", geteuid());
  if (IsMine(of_login)) folders.push_back(of_login);
  for (std::string& folder : folders) absl::StrAppend(&folder, "/allometry");
  folders.push_back(absl::StrCat("/tmp/allometry-", geteuid()));
  for (std::string& folder : folders) absl::StrAppend(&folder, "/coordinator.sock");
  return folders;
}

}  // namespace

std::string Address::ToString() const {
  if (is_unix()) return absl::StrCat("unix:", path);
  return absl::StrContains(host, ':') ? absl::StrFormat("[%s]:%d", host, port)
                                      : absl::StrFormat("%s:%d", host, port);
}

absl::StatusOr<Address> ParseAddress(absl::string_view text, absl::string_view option,
                                     bool any_port) {
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s '%s': %s; an address is HOST:PORT, [IPV6]:PORT or unix:PATH, for "
                        "example localhost:7447",
                        option, text, what));
  };
  Address address;
  if (text.empty()) return error("it is empty");
  if (absl::string_view path = text; absl::ConsumePrefix(&path, "unix:")) {
    if (absl::StartsWith(path, "///")) path.remove_prefix(2);
    if (path.empty() || path.back() == '/' || path.find('\0') != absl::string_view::npos) {
      return error("a Unix socket needs the path of a file");
    }
    address.path = std::filesystem::absolute(std::string(path)).lexically_normal().string();
    return address;
  }
  if (const size_t scheme = text.find("://"); scheme != absl::string_view::npos) {
    return error(absl::StrFormat("take %s away", text.substr(0, scheme + 3)));
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || absl::EndsWith(text, "]")) return error("it has no port");
  const absl::string_view port = text.substr(colon + 1);
  if (port.empty() || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) {
    return error(absl::StrFormat("the port '%s' is not a number", port));
  }
  const int least = any_port ? 0 : 1;
  if (!absl::SimpleAtoi(port, &address.port) || address.port < least || address.port > 65535) {
    return error(absl::StrFormat("the port %s is not in %d..65535", port, least));
  }
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ':')) {
    return error("an IPv6 address needs brackets");
  }
  address.host = std::string(host);
  if (const std::string mistake = HostMistake(address.host, bracketed); !mistake.empty()) {
    return error(mistake);
  }
  return address;
}

bool IsLoopback(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127 || v4.s_addr == htonl(INADDR_ANY);
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) ||
           (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
  }
  std::string name = absl::AsciiStrToLower(host);
  if (absl::EndsWith(name, ".")) name.pop_back();
  return name == "localhost" || absl::EndsWith(name, ".localhost");
}

bool IsLoopbackOnly(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

std::string DefaultListenAddress() { return absl::StrCat("unix:", DefaultSockets().front()); }

std::string DefaultCoordinatorAddress() {
  const std::vector<std::string> sockets = DefaultSockets();
  for (const std::string& socket : sockets) {
    struct stat status {};
    if (stat(socket.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
      return absl::StrCat("unix:", socket);
    }
  }
  return absl::StrCat("unix:", sockets.front());
}

}  // namespace allometry::transport
