// Reading HDF5 files of unknown origin. A file cannot choose how much memory is used, and no other
// file is read.
//
// Only hard links are followed: soft and external links, external raw storage and virtual datasets
// are refused, so no other file is opened. Plugins are off: filters are deflate, shuffle and
// Fletcher-32. An array is read in pieces into numbers of our own type, never in the file's; its
// extent must be one that a file of this size can hold. libhdf5 is not thread-safe as Debian builds
// it: one thread at a time.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "data/input_file.h"

namespace allometry::data {

// An HDF5 identifier, given back by the function for its kind.
class Hdf5Handle {
 public:
  Hdf5Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  bool ok() const { return id_ >= 0; }
  hid_t id() const { return id_; }
  // Closes now, so that a failure to write is seen.
  bool Close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// Errors are ours to tell: libhdf5 would print its stack. Also turns plugins off.
void PrepareHdf5();

// An array of numbers in C order.
template <class T>
struct Hdf5Array {
  std::vector<int64_t> shape;
  std::vector<T> values;
};

class Hdf5File {
 public:
  // NotFound; InvalidArgument says what the file is instead.
  static absl::StatusOr<Hdf5File> Open(const std::string& path);

  const InputFile& input() const { return input_; }

  // The names in the file's root, in byte order.
  absl::StatusOr<std::vector<std::string>> Names() const;
  // "a group of image, state", "an array of 51 x 64 uint8", "an external link to 'x'", "missing".
  // `path` is names with '/' between them, as below.
  std::string Describe(const std::string& path) const;

  // An attribute that is one whole number; nothing where it is missing or something else.
  std::optional<int64_t> Number(const std::string& group, const char* attribute) const;

  // InvalidArgument where it is no array of whole numbers (integers of up to 64 bits, enumerations
  // of them, as h5py keeps booleans), lies outside the file, is larger than the file can hold, or
  // has a number that T has not; DataLoss where it cannot be read. Messages begin with `path`. T is
  // uint8_t, uint16_t or int64_t.
  template <class T>
  absl::StatusOr<Hdf5Array<T>> WholeNumbers(const std::string& path) const;
  // Also floating-point numbers.
  absl::StatusOr<Hdf5Array<float>> Numbers(const std::string& path) const;

 private:
  Hdf5File(InputFile input, Hdf5Handle file) : input_(std::move(input)), file_(std::move(file)) {}
  absl::StatusOr<Hdf5Handle> OpenObject(const std::string& path) const;
  // Calls use(numbers) for successive pieces; the array's shape.
  template <class T>
  absl::StatusOr<std::vector<int64_t>> ReadPieces(
      const std::string& path, const std::function<absl::Status(std::span<const T>)>& use) const;

  InputFile input_;
  Hdf5Handle file_;
};

}  // namespace allometry::data
