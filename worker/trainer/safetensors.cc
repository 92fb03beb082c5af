#include "worker/trainer/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "nlohmann/json.hpp"

namespace allometry::trainer {
namespace {

static_assert(std::endian::native == std::endian::little, "lengths and values are little-endian");

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the limit of the Python reader
constexpr size_t kLengthBytes = 8;

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::Status WriteAll(int fd, const void* data, size_t size, const std::string& path) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(path, "write");
    }
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status ReadAll(int fd, void* data, size_t size, int64_t offset, const std::string& path) {
  char* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = pread(fd, bytes, size, offset);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(path, "read");
    }
    if (got == 0) return absl::DataLossError(absl::StrCat(path, ": ends at byte ", offset));
    bytes += got;
    offset += got;
    size -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

// The number of elements; nullopt-like -1 where a dimension is negative or the product overflows.
int64_t ElementCount(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(count, dimension, &count)) return -1;
  }
  return count;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::string HeaderOf(const Metadata& metadata, std::span<const NamedTensor> tensors) {
  Json header;
  header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    ALLO_CHECK(ElementCount(tensor.shape) == static_cast<int64_t>(tensor.values.size()))
        << tensor.name;
    const int64_t end = offset + static_cast<int64_t>(tensor.values.size_bytes());
    ALLO_CHECK(!header.contains(tensor.name)) << "two tensors are called " << tensor.name;
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

absl::Status WriteContents(const std::string& path, const std::string& header,
                           std::span<const NamedTensor> tensors) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0) return ErrnoStatus(path, "create");
  const uint64_t length = header.size();
  ALLO_RETURN_IF_ERROR(WriteAll(file.fd(), &length, sizeof length, path));
  ALLO_RETURN_IF_ERROR(WriteAll(file.fd(), header.data(), header.size(), path));
  for (const NamedTensor& tensor : tensors) {
    ALLO_RETURN_IF_ERROR(
        WriteAll(file.fd(), tensor.values.data(), tensor.values.size_bytes(), path));
  }
  if (fsync(file.fd()) != 0) return ErrnoStatus(path, "sync");
  return absl::OkStatus();
}

bool IsIntegerArray(const Json& json) {
  return json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& element) {
           return element.is_number_unsigned() && element.get<uint64_t>() <= INT64_MAX;
         });
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const Metadata& metadata,
                              std::span<const NamedTensor> tensors) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  if (absl::Status written = WriteContents(temporary, HeaderOf(metadata, tensors), tensors);
      !written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status renamed = ErrnoStatus(path, "rename");
    unlink(temporary.c_str());
    return renamed;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  File directory(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (directory.fd() < 0 || fsync(directory.fd()) != 0) return ErrnoStatus(folder, "sync");
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  File file(path, O_RDONLY | O_NONBLOCK);  // a pipe would be waited for
  if (file.fd() < 0) return ErrnoStatus(path, "open");
  struct stat status;
  if (fstat(file.fd(), &status) != 0) return ErrnoStatus(path, "stat");
  if (!S_ISREG(status.st_mode)) return absl::DataLossError(absl::StrCat(path, ": is not a file"));
  uint64_t length = 0;
  ALLO_RETURN_IF_ERROR(ReadAll(file.fd(), &length, sizeof length, 0, path));
  const int64_t after_length = status.st_size - static_cast<int64_t>(kLengthBytes);
  if (length > static_cast<uint64_t>(std::min(after_length, kMaxHeaderBytes))) {
    return absl::DataLossError(absl::StrCat(path, ": says its header has ", length,
                                            " bytes; the file has ", status.st_size));
  }
  std::string header(length, '\0');
  ALLO_RETURN_IF_ERROR(ReadAll(file.fd(), header.data(), length, kLengthBytes, path));

  SafetensorsFile result;
  result.path_ = path;
  result.data_offset_ = static_cast<int64_t>(kLengthBytes + length);
  if (absl::Status parsed = result.ParseHeader(header, status.st_size - result.data_offset_);
      !parsed.ok()) {
    return Annotate(parsed, path);
  }
  return result;
}

absl::Status SafetensorsFile::ParseHeader(absl::string_view header, int64_t data_bytes) {
  ALLO_RETURN_IF_ERROR(CheckJsonShape(header, {.bytes = kMaxHeaderBytes}));
  const Json json = Json::parse(header.begin(), header.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("the header is not a JSON object");
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) {
          return absl::DataLossError(absl::StrCat("metadata ", key, " is not a string"));
        }
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
        !entry.contains("shape") || !IsIntegerArray(entry["shape"]) ||
        !entry.contains("data_offsets") || !IsIntegerArray(entry["data_offsets"]) ||
        entry["data_offsets"].size() != 2) {
      return absl::DataLossError(
          absl::StrCat("tensor ", name, " lacks a proper dtype, shape or data_offsets"));
    }
    Tensor tensor;
    tensor.dtype = entry["dtype"].get<std::string>();
    tensor.shape = entry["shape"].get<std::vector<int64_t>>();
    tensor.begin = entry["data_offsets"][0].get<int64_t>();
    tensor.end = entry["data_offsets"][1].get<int64_t>();
    if (tensor.begin > tensor.end || tensor.end > data_bytes) {
      return absl::DataLossError(absl::StrCat("tensor ", name, " lies at bytes ", tensor.begin,
                                              " to ", tensor.end, " of ", data_bytes,
                                              ": the file is cut short or damaged"));
    }
    ranges.emplace_back(tensor.begin, tensor.end);
    tensors_[name] = std::move(tensor);
  }
  std::sort(ranges.begin(), ranges.end());
  int64_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != covered) {
      return absl::DataLossError(absl::StrCat("the tensors' ranges leave a gap or overlap at byte ",
                                              std::min(begin, covered), " of the data"));
    }
    covered = end;
  }
  if (covered != data_bytes) {
    return absl::DataLossError(
        absl::StrCat("the file has ", data_bytes, " bytes of data, its tensors cover ", covered));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SafetensorsFile::MetadataValue(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": has no metadata ", key));
  }
  return found->second;
}

absl::Status SafetensorsFile::Read(const std::string& name, const std::vector<int64_t>& shape,
                                   std::span<float> values) const {
  ALLO_CHECK(ElementCount(shape) == static_cast<int64_t>(values.size())) << name;
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::DataLossError(absl::StrCat(path_, ": has no tensor ", name));
  }
  const Tensor& tensor = found->second;
  if (tensor.dtype != "F32" || tensor.shape != shape) {
    return absl::DataLossError(absl::StrCat(path_, ": tensor ", name, " is ", tensor.dtype, " ",
                                            ShapeText(tensor.shape), ", not F32 ",
                                            ShapeText(shape)));
  }
  if (tensor.end - tensor.begin != static_cast<int64_t>(values.size_bytes())) {
    return absl::DataLossError(absl::StrCat(path_, ": tensor ", name, " has ",
                                            tensor.end - tensor.begin, " bytes; its shape needs ",
                                            values.size_bytes()));
  }
  File file(path_, O_RDONLY);
  if (file.fd() < 0) return ErrnoStatus(path_, "open");
  return ReadAll(file.fd(), values.data(), values.size_bytes(), data_offset_ + tensor.begin, path_);
}

}  // namespace allometry::trainer
