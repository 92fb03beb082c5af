#include "run/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "run/json_fields.h"

namespace allometry::run {
namespace {

constexpr size_t kHashDigits = 16;
constexpr size_t kCrcDigits = 8;
constexpr size_t kReadBytes = 1 << 18;
// A record is some hundred bytes; an exit record has the end of a log.
constexpr size_t kLongestLine = 4 << 20;

// Keeps the order of the fields, for people who open the file.
using OrderedJson = nlohmann::ordered_json;

OrderedJson ToJson(const Point& point) {
  OrderedJson json{{"kind", "point"},
                   {"step", point.step},
                   {"tokens", point.tokens},
                   {"series", point.series},
                   {"value", nullptr}};
  if (point.value.has_value() && std::isfinite(*point.value)) json["value"] = *point.value;
  return json;
}

OrderedJson ToJson(const CheckpointRecord& checkpoint) {
  return {{"kind", "checkpoint"},
          {"step", checkpoint.step},
          {"file", checkpoint.file},
          {"hash", checkpoint.hash},
          {"bytes", checkpoint.bytes}};
}

OrderedJson ToJson(const ExecutionConfig& numerics) {
  return {{"kind", "numerics"},
          {"ranks", numerics.ranks},
          {"hosts", numerics.hosts},
          {"micro_batch", numerics.micro_batch},
          {"device", numerics.device},
          {"device_model", numerics.device_model},
          {"trainer_build", numerics.trainer_build},
          {"step_backend", numerics.step_backend}};
}

OrderedJson ToJson(const UnknownRecord& unknown) { return {{"kind", unknown.kind}}; }

OrderedJson ToJson(const ExitRecord& exit) {
  return {{"kind", "exit"},
          {"reason", std::string(ExitReasonName(exit.reason))},
          {"message", exit.message},
          {"step", exit.step}};
}

absl::Status Parse(JsonFields& fields, Point* point) {
  ALLO_RETURN_IF_ERROR(fields.Require("step", &point->step));
  ALLO_RETURN_IF_ERROR(fields.Require("tokens", &point->tokens));
  ALLO_RETURN_IF_ERROR(fields.Require("series", &point->series));
  Json value;
  ALLO_RETURN_IF_ERROR(fields.Require("value", &value));
  if (value.is_null()) return absl::OkStatus();
  return fields.Require("value", &point->value.emplace());
}

absl::Status Parse(JsonFields& fields, CheckpointRecord* checkpoint) {
  ALLO_RETURN_IF_ERROR(fields.Require("step", &checkpoint->step));
  ALLO_RETURN_IF_ERROR(fields.Require("file", &checkpoint->file));
  ALLO_RETURN_IF_ERROR(fields.Require("hash", &checkpoint->hash));
  return fields.Require("bytes", &checkpoint->bytes);
}

absl::Status Parse(JsonFields& fields, ExecutionConfig* numerics) {
  ALLO_RETURN_IF_ERROR(fields.Allow("ranks", &numerics->ranks));
  ALLO_RETURN_IF_ERROR(fields.Allow("hosts", &numerics->hosts));
  ALLO_RETURN_IF_ERROR(fields.Allow("micro_batch", &numerics->micro_batch));
  ALLO_RETURN_IF_ERROR(fields.Allow("device", &numerics->device));
  ALLO_RETURN_IF_ERROR(fields.Allow("device_model", &numerics->device_model));
  ALLO_RETURN_IF_ERROR(fields.Allow("trainer_build", &numerics->trainer_build));
  ALLO_RETURN_IF_ERROR(fields.Allow("step_backend", &numerics->step_backend));
  ALLO_RETURN_IF_ERROR(fields.Allow("params", &numerics->params));
  return fields.Allow("contract", &numerics->contract);
}

absl::Status Parse(JsonFields& fields, ExitRecord* exit) {
  std::string reason;
  ALLO_RETURN_IF_ERROR(fields.Require("reason", &reason));
  ALLO_ASSIGN_OR_RETURN(exit->reason, ParseExitReason(reason));
  ALLO_RETURN_IF_ERROR(fields.Require("message", &exit->message));
  return fields.Require("step", &exit->step);
}

absl::Status ParseBody(JsonFields& fields, Record* record) {
  std::string kind;
  int64_t sequence = 0;
  ALLO_RETURN_IF_ERROR(fields.Require("kind", &kind));
  ALLO_RETURN_IF_ERROR(fields.Require("seq", &sequence));
  if (sequence < 1) {
    return absl::InvalidArgumentError(absl::StrCat("seq is ", sequence, "; allowed: 1 or more"));
  }
  record->sequence = static_cast<uint64_t>(sequence);
  if (kind == "point") return Parse(fields, &record->body.emplace<Point>());
  if (kind == "checkpoint") return Parse(fields, &record->body.emplace<CheckpointRecord>());
  if (kind == "numerics") return Parse(fields, &record->body.emplace<ExecutionConfig>());
  if (kind == "exit") return Parse(fields, &record->body.emplace<ExitRecord>());
  record->body = UnknownRecord{std::move(kind)};
  return absl::OkStatus();
}

std::string CrcHex(absl::string_view bytes) {
  const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
  return absl::StrFormat("%08x", crc32_z(crc32(0, nullptr, 0), data, bytes.size()));
}

// Whether a whole line with a matching hash is somewhere in `bytes`, which begin at a line.
bool HoldsIntactLine(absl::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != absl::string_view::npos;) {
    if (!absl::IsDataLoss(DecodeRecord(bytes.substr(0, end + 1)).status())) return true;
    bytes.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

std::string SpoolPath(const std::string& attempt_dir) {
  return absl::StrCat(attempt_dir, "/spool");
}

std::string EncodeRecord(const Record& record) {
  OrderedJson json{{"seq", record.sequence}};
  json.update(std::visit([](const auto& body) { return ToJson(body); }, record.body));
  const std::string text = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return absl::StrCat(HashHex(text), " ", text, "\n");
}

absl::StatusOr<Record> DecodeRecord(absl::string_view line) {
  if (line.empty() || line.back() != '\n') {
    return absl::DataLossError("the record has no end of line");
  }
  line.remove_suffix(1);
  const size_t digits = line.find(' ');
  if (digits != kHashDigits && digits != kCrcDigits) {
    return absl::DataLossError(
        "the record does not begin with 16 hexadecimal digits of XXH3, or 8 of CRC-32, and a "
        "space");
  }
  const absl::string_view text = line.substr(digits + 1);
  const std::string hash = digits == kHashDigits ? HashHex(text) : CrcHex(text);
  if (hash != line.substr(0, digits)) {
    return absl::DataLossError(
        absl::StrCat("the record's hash is ", hash, ", it says ", line.substr(0, digits)));
  }
  ALLO_RETURN_IF_ERROR(CheckJsonShape(text));
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("the record is not JSON");
  JsonFields fields(json, "");
  Record record;
  ALLO_RETURN_IF_ERROR(ParseBody(fields, &record));
  return record;
}

absl::StatusOr<std::unique_ptr<SpoolWriter>> SpoolWriter::Create(const std::string& attempt_dir) {
  SpoolReader reader(attempt_dir);
  ALLO_ASSIGN_OR_RETURN(const std::vector<Record> records, reader.Read(1));
  if (!records.empty()) {
    return absl::AlreadyExistsError(absl::StrCat(
        SpoolPath(attempt_dir), ": has records already; an attempt runs once: start a new one"));
  }
  return Continue(attempt_dir);
}

absl::StatusOr<std::unique_ptr<SpoolWriter>> SpoolWriter::Continue(const std::string& attempt_dir) {
  SpoolReader reader(attempt_dir);
  return Continue(reader);
}

absl::StatusOr<std::unique_ptr<SpoolWriter>> SpoolWriter::Continue(SpoolReader& reader) {
  const std::string& path = reader.path_;
  ALLO_RETURN_IF_ERROR(MakeDirectories(path.substr(0, path.rfind('/'))));
  for (;;) {
    ALLO_ASSIGN_OR_RETURN(const std::vector<Record> records, reader.Read(1024));
    if (records.empty()) break;
  }
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(path, "open");
  std::unique_ptr<SpoolWriter> writer(new SpoolWriter(fd, path, reader.last_sequence_));
  if (ftruncate(fd, reader.delivered_bytes_) != 0) return ErrnoStatus(path, "cut the torn tail");
  return writer;
}

SpoolWriter::SpoolWriter(int fd, std::string path, uint64_t last_sequence)
    : fd_(fd), path_(std::move(path)), last_sequence_(last_sequence) {}

SpoolWriter::~SpoolWriter() { close(fd_); }

void SpoolWriter::Append(RecordBody body) {
  buffer_ += EncodeRecord({++last_sequence_, std::move(body)});
}

absl::Status SpoolWriter::Flush() {
  while (!buffer_.empty()) {
    const ssize_t written = write(fd_, buffer_.data(), buffer_.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(path_, "write");
    }
    buffer_.erase(0, static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status SpoolWriter::Sync() {
  ALLO_RETURN_IF_ERROR(Flush());
  if (fsync(fd_) != 0) return ErrnoStatus(path_, "sync");
  return absl::OkStatus();
}

SpoolReader::SpoolReader(const std::string& attempt_dir) : path_(SpoolPath(attempt_dir)) {}

SpoolReader::~SpoolReader() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<bool> SpoolReader::ReadMore() {
  if (fd_ < 0) {
    // Without a wait: it may be a pipe.
    fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) {
      if (errno == ENOENT) return false;
      return ErrnoStatus(path_, "open");
    }
  }
  struct stat info {};
  if (fstat(fd_, &info) != 0) return ErrnoStatus(path_, "stat");
  if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path_, ": is not a file"));
  const size_t size = buffer_.size();
  buffer_.resize(size + kReadBytes);
  ssize_t got;
  do {
    got = pread(fd_, buffer_.data() + size, kReadBytes,
                delivered_bytes_ + static_cast<int64_t>(size));
  } while (got < 0 && errno == EINTR);
  buffer_.resize(size + static_cast<size_t>(got < 0 ? 0 : got));
  if (got < 0) return ErrnoStatus(path_, "read");
  return got > 0;
}

absl::StatusOr<std::vector<Record>> SpoolReader::Read(int limit) {
  std::vector<Record> records;
  size_t begin = 0;  // of the first line in buffer_ that is not delivered
  bool at_end = false;
  absl::Status problem, unread;
  while (static_cast<int>(records.size()) < limit) {
    const size_t end = buffer_.find('\n', begin);
    if (end == std::string::npos) {
      if (buffer_.size() - begin > kLongestLine) {
        unread = absl::DataLossError(
            absl::StrFormat("%s: byte %d: a line of more than %d bytes", path_,
                            delivered_bytes_ + static_cast<int64_t>(begin), kLongestLine));
        break;
      }
      const absl::StatusOr<bool> more = ReadMore();
      if (more.ok() && *more) continue;
      at_end = more.ok();
      unread = more.status();
      break;
    }
    absl::StatusOr<Record> record =
        DecodeRecord(absl::string_view(buffer_).substr(begin, end + 1 - begin));
    if (record.ok() && record->sequence != last_sequence_ + 1) {
      record = absl::InvalidArgumentError(
          absl::StrCat("the record after ", last_sequence_, " is number ", record->sequence));
    }
    if (!record.ok()) {
      problem = record.status();
      break;
    }
    last_sequence_ = record->sequence;
    records.push_back(*std::move(record));
    begin = end + 1;
  }
  buffer_.erase(0, begin);
  delivered_bytes_ += static_cast<int64_t>(begin);
  if (at_end) buffer_.clear();  // a torn tail is read afresh: a continuing writer replaces it
  if (!records.empty()) return records;  // the problem comes with the next call
  if (!unread.ok()) return unread;
  if (problem.ok()) return records;

  if (absl::IsDataLoss(problem)) {
    for (;;) {
      ALLO_ASSIGN_OR_RETURN(const bool more, ReadMore());
      if (!more) break;
    }
    const bool torn_tail = !HoldsIntactLine(buffer_);
    buffer_.clear();
    if (torn_tail) return records;
  }
  return absl::DataLossError(
      absl::StrCat(path_, ": byte ", delivered_bytes_, ": ", problem.message()));
}

absl::Status SpoolReader::SeekAfter(uint64_t sequence) {
  buffer_.clear();
  delivered_bytes_ = 0;
  last_sequence_ = 0;
  while (last_sequence_ < sequence) {
    const uint64_t missing = sequence - last_sequence_;
    ALLO_ASSIGN_OR_RETURN(const std::vector<Record> records,
                          Read(static_cast<int>(std::min<uint64_t>(missing, 1024))));
    if (records.empty()) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": ends at record ", last_sequence_,
                                                "; asked for those after ", sequence));
    }
  }
  return absl::OkStatus();
}

}  // namespace allometry::run
