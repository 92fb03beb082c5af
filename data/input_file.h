// A file that a user names, opened once, so that what is checked is what is read.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"

namespace allometry::data {

class InputFile {
 public:
  // InvalidArgument where it is no regular file (a folder, a pipe, a device: those can be endless)
  // or empty; NotFound and the like with the path.
  static absl::StatusOr<InputFile> Open(const std::string& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  const std::string& path() const { return path_; }
  // Without its folder.
  std::string name() const;
  int fd() const { return fd_; }
  // When it was opened.
  int64_t bytes() const { return info_.st_size; }

  // Bytes from `offset` on; fewer than asked for only at the end of the file. Aborted where the
  // file has become shorter than it was.
  absl::StatusOr<size_t> ReadAt(int64_t offset, std::span<char> to) const;
  // The first bytes, up to `most`: enough to say what the file is.
  absl::StatusOr<std::string> Front(size_t most = size_t{1} << 16) const;
  // HashFileHex of it.
  absl::StatusOr<std::string> HashHex() const;

  // Aborted where somebody has written to it since it was opened: then what was read is a mixture.
  absl::Status CheckUnchanged() const;

 private:
  InputFile(std::string path, int fd, const struct stat& info)
      : path_(std::move(path)), fd_(fd), info_(info) {}
  std::string path_;
  int fd_;
  struct stat info_;
};

}  // namespace allometry::data
