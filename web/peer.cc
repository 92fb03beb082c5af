#include "web/peer.h"

#include <arpa/inet.h>

#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::web {
namespace {

// "0100007F:1D18": the words of the address as this machine stores them, and the port.
std::string AsKernelWrites(const void* address, size_t bytes, int port) {
  std::string text;
  for (size_t at = 0; at < bytes; at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, static_cast<const char*>(address) + at, sizeof(word));
    absl::StrAppendFormat(&text, "%08X", word);
  }
  return absl::StrCat(text, absl::StrFormat(":%04X", port));
}

}  // namespace

std::optional<uid_t> UserOfConnection(const std::string& address, int port, int own_port) {
  in_addr v4;
  in6_addr v6;
  const bool is_v4 = inet_pton(AF_INET, address.c_str(), &v4) == 1;
  if (!is_v4 && inet_pton(AF_INET6, address.c_str(), &v6) != 1) return std::nullopt;
  const std::string local =
      is_v4 ? AsKernelWrites(&v4, sizeof(v4), port) : AsKernelWrites(&v6, sizeof(v6), port);
  const std::string remote_port = absl::StrFormat(":%04X", own_port);
  const absl::StatusOr<std::string> list = ReadFile(is_v4 ? "/proc/net/tcp" : "/proc/net/tcp6");
  if (!list.ok()) return std::nullopt;
  for (const absl::string_view line : absl::StrSplit(*list, '\n')) {
    // sl, local address, remote address, state, queues, timers, retransmits, uid, timeout, inode
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uid_t uid = 0;
    // A socket without an inode is nobody's any more.
    if (fields.size() > 9 && fields[1] == local && fields[9] != "0" &&
        fields[2].size() > remote_port.size() &&
        fields[2].substr(fields[2].size() - remote_port.size()) == remote_port &&
        absl::SimpleAtoi(fields[7], &uid)) {
      return uid;
    }
  }
  return std::nullopt;
}

}  // namespace allometry::web
