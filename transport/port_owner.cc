#include "transport/port_owner.h"

#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::transport {
namespace {

// "socket:[INODE]" of every socket that listens on the port (proc(5), /proc/net/tcp).
std::set<std::string> ListeningSockets(int port) {
  std::set<std::string> sockets;
  const std::string suffix = absl::StrFormat(":%04X", port);
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string text = ReadFile(table).value_or("");
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      constexpr char kListens[] = "0A";
      if (fields.size() > 9 && fields[3] == kListens && fields[1].ends_with(suffix)) {
        sockets.insert(absl::StrCat("socket:[", fields[9], "]"));
      }
    }
  }
  return sockets;
}

bool HasOneOf(const std::filesystem::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(process / "fd", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code unreadable;
    if (sockets.contains(std::filesystem::read_symlink(it->path(), unreadable).string())) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string OwnerOfPort(int port) {
  const std::set<std::string> sockets = ListeningSockets(port);
  if (sockets.empty()) return "";
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    int pid = 0;
    const std::string name = it->path().filename().string();
    if (!absl::SimpleAtoi(name, &pid) || !HasOneOf(it->path(), sockets)) continue;
    const std::string program = ReadFile(it->path().string() + "/comm").value_or("");
    return absl::StrCat("process ", pid, " (", absl::StripAsciiWhitespace(program), ")");
  }
  return "";
}

}  // namespace allometry::transport
