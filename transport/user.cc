#include "transport/user.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace allometry::transport {
namespace {

constexpr size_t kLongestName = 64;

std::string Plain(absl::string_view name) {
  std::string plain(name.substr(0, kLongestName));
  for (char& c : plain) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) c = '?';
  }
  return plain;
}

}  // namespace

std::string LoginName() {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return absl::StrCat(geteuid());
  }
  return Plain(found->pw_name);
}

void SendUser(grpc::ClientContext& call) {
  static const auto* const name = new std::string(LoginName());
  call.AddMetadata(kUserMetadata, *name);
}

CallingUser UserOf(const grpc::ServerContext& call) {
  CallingUser user;
  const auto sent = call.client_metadata().find(kUserMetadata);
  if (sent == call.client_metadata().end()) return user;
  user.name = Plain({sent->second.data(), sent->second.size()});
  user.is_claimed = !absl::StartsWith(call.peer(), "unix") || user.name != LoginName();
  return user;
}

}  // namespace allometry::transport
