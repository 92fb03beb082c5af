#include "transport/token.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::transport {
namespace {

constexpr size_t kShortest = 16;
constexpr size_t kLongest = 256;
constexpr size_t kMostTokens = 8;
constexpr off_t kLargestFile = 64 << 10;

absl::Status CheckFile(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return ErrnoStatus(path, "look at");
  if (!S_ISREG(status.st_mode) || status.st_size > kLargestFile) {
    return absl::InvalidArgumentError(absl::StrCat("token file ", path, " is not a small file"));
  }
  if ((status.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "token file %s has mode %04o: every user of this machine can read the token or change it; "
        "'chmod 600 %s'",
        path, status.st_mode & 07777, path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadTokens(const std::string& path) {
  ALLO_RETURN_IF_ERROR(CheckFile(path));
  ALLO_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  std::vector<std::string> tokens;
  int line = 0;
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrFormat("token file %s:%d: %s", path, line, what));
  };
  for (absl::string_view text : absl::StrSplit(contents, '\n')) {
    ++line;
    text = absl::StripAsciiWhitespace(text);
    if (text.empty()) continue;
    if (text.size() < kShortest || text.size() > kLongest) {
      return error(
          absl::StrFormat("a token has %d to %d characters, this one %d (make one with: "
                          "openssl rand -hex 32)",
                          kShortest, kLongest, text.size()));
    }
    if (!std::all_of(text.begin(), text.end(), absl::ascii_isgraph)) {
      return error("a token has letters, digits and signs, without spaces");
    }
    if (tokens.size() == kMostTokens) {
      return error(absl::StrFormat("more than %d tokens", kMostTokens));
    }
    tokens.emplace_back(text);
  }
  line = 1;
  if (tokens.empty()) return error("there is no token (make one with: openssl rand -hex 32)");
  return tokens;
}

absl::Status MakeTokenFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno == EEXIST ? absl::OkStatus() : ErrnoStatus(path, "create");
  const std::string text = absl::StrCat(RandomHex128(), RandomHex128(), "\n");
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const absl::Status status = written ? absl::OkStatus() : ErrnoStatus(path, "write");
  close(fd);
  if (!written) unlink(path.c_str());
  return status;
}

bool EqualInConstantTime(absl::string_view secret, absl::string_view offered) {
  volatile uint8_t difference = secret.size() == offered.size() ? 0 : 1;
  for (size_t i = 0; i < offered.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = difference | static_cast<uint8_t>(expected ^ offered[i]);
  }
  return difference == 0;
}

}  // namespace allometry::transport
