// Safetensors: named fp32 tensors and string metadata in one file that Python opens.
//
//   8 bytes   little-endian length of the header
//   header    JSON: {"__metadata__": {"step": "1200"}, "a.weight": {"dtype": "F32",
//             "shape": [2, 3], "data_offsets": [0, 24]}, ...}, padded with spaces to 8 bytes
//   data      row-major values; the tensors' byte ranges cover it without gap or overlap
//
// (Hugging Face, safetensors format, 2022.) Only F32 is written and read here.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::trainer {

using Metadata = std::map<std::string, std::string>;

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // as many as the shape has
};

// Writes PATH.tmp, syncs it, renames it over PATH and syncs the folder: PATH is the old file or the
// whole new one. ResourceExhausted on a full disk, where nothing is left behind.
absl::Status WriteSafetensors(const std::string& path, const Metadata& metadata,
                              std::span<const NamedTensor> tensors);

class SafetensorsFile {
 public:
  // Reads and checks the header: DataLoss, with the path, where the file is not safetensors, is cut
  // short, or its ranges do not cover its data exactly.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const Metadata& metadata() const { return metadata_; }
  // NotFound names the key.
  absl::StatusOr<std::string> MetadataValue(const std::string& key) const;
  size_t tensor_count() const { return tensors_.size(); }

  // The values of tensor `name`, which must have this shape and F32: DataLoss says what it has.
  absl::Status Read(const std::string& name, const std::vector<int64_t>& shape,
                    std::span<float> values) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    int64_t begin = 0;  // bytes from the start of the data
    int64_t end = 0;
  };
  SafetensorsFile() = default;
  absl::Status ParseHeader(absl::string_view header, int64_t data_bytes);

  std::string path_;
  Metadata metadata_;
  std::map<std::string, Tensor> tensors_;
  int64_t data_offset_ = 0;
};

}  // namespace allometry::trainer
