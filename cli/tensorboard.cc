#include "cli/tensorboard.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace allometry::cli {
namespace {

constexpr char kHeader[] = "run_id,size,series,step,tokens,value,attempt";
// Wire types of protobuf.
enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

// Little-endian bytes of a plain value.
template <class T>
std::string Bytes(T value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Tagged(int field, Wire wire, absl::string_view payload) {
  const std::string length = wire == kBytes ? Varint(payload.size()) : "";
  return absl::StrCat(Varint(static_cast<uint64_t>(field << 3 | wire)), length, payload);
}

uint32_t Masked(absl::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::string Record(const std::string& event) {
  const std::string length = Bytes<uint64_t>(event.size());
  return absl::StrCat(length, Bytes(Masked(length)), event, Bytes(Masked(event)));
}

// Fields of a line, without the quotes of CSV.
std::vector<std::string> Fields(absl::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back().push_back(line[++i]);
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back().push_back(c);
    }
  }
  return fields;
}

std::string FileName(absl::string_view text) {
  std::string name;
  for (const char c : text) {
    name.push_back(absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                           (c == '.' && !name.empty())
                       ? c
                       : '_');
  }
  return name;
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

std::string TensorboardHead() { return Record(Tagged(3, kBytes, "brain.Event:2")); }

std::string TensorboardScalar(absl::string_view tag, int64_t step, double value) {
  const std::string scalar =
      absl::StrCat(Tagged(1, kBytes, tag), Tagged(2, kFixed32, Bytes(static_cast<float>(value))));
  return Record(absl::StrCat(Tagged(1, kFixed64, Bytes(static_cast<double>(step))),
                             Tagged(2, kVarint, Varint(static_cast<uint64_t>(step))),
                             Tagged(5, kBytes, Tagged(1, kBytes, scalar))));
}

absl::Status TensorboardFolder::AddLine(absl::string_view line) {
  const std::vector<std::string> fields = Fields(line);
  int64_t run = 0, step = 0;
  double value = 0;
  const bool whole = fields.size() == 7 && absl::SimpleAtoi(fields[0], &run) &&
                     absl::SimpleAtoi(fields[3], &step) &&
                     (fields[5].empty() || absl::SimpleAtod(fields[5], &value));
  if (!whole) return absl::DataLossError(absl::StrCat("not a loss point: ", line));
  if (fields[5].empty()) return absl::OkStatus();
  const std::string name = absl::StrFormat("run-%d-%s", run, FileName(fields[1]));
  if (file_ == nullptr || name != name_) {
    ALLO_RETURN_IF_ERROR(Finish().status());
    const std::string folder = absl::StrCat(folder_, "/", name);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot make the folder ", folder, ": ", error.message()));
    }
    ALLO_ASSIGN_OR_RETURN(
        file_, OutputFile::Create(absl::StrCat(folder, "/events.out.tfevents.0.allometry"), {}));
    name_ = name;
    ALLO_RETURN_IF_ERROR(file_->Append(TensorboardHead()));
  }
  return file_->Append(TensorboardScalar(fields[2], step, value));
}

absl::Status TensorboardFolder::AddCsv(absl::string_view piece) {
  for (const absl::string_view line : absl::StrSplit(piece, '\n', absl::SkipEmpty())) {
    if (line != kHeader) ALLO_RETURN_IF_ERROR(AddLine(line));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> TensorboardFolder::Finish() {
  if (file_ != nullptr) {
    ALLO_RETURN_IF_ERROR(file_->Commit());
    file_.reset();
    ++finished_;
  }
  return finished_;
}

}  // namespace allometry::cli
