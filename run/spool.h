// The spool: the append-only file in which a trainer reports losses, checkpoints and its end.
//
// One record a line: a check over the JSON's bytes, a space, a JSON object, '\n'. The check is 16
// hex digits of XXH3, or 8 of CRC-32 (that of zlib and gzip), which every language has.
//
//   {"seq":1,"kind":"numerics","ranks":2,...}
//   {"seq":2,"kind":"point","step":10,"tokens":20480,"series":"train","value":4.31}
//   {"seq":9,"kind":"checkpoint","step":1200,"file":"attempt-1/...","hash":"...","bytes":1234}
//   {"seq":10,"kind":"exit","reason":"SUCCEEDED","message":"","step":1200}
//
// Fields and kinds that are not known here are a newer trainer's, and no mistake: fields are passed
// over, a record of such a kind is read as UnknownRecord.
//
// Sequence numbers are 1, 2, 3, ... without gaps. A value that is not finite is null. Doubles
// round-trip. A last line without its newline, or with a wrong hash and nothing valid after it, is
// the torn tail of a crash: it is not delivered, and the attempt ended there. Damage before the
// tail is DataLoss, with the byte offset.
//
// Writer: one thread. Append buffers. After Flush the bytes survive the process, after Sync they
// survive the machine. A checkpoint record is appended only after the checkpoint file and every
// record before it are synced. Reader: follows the file while it grows; it may be opened before the
// file exists.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "run/exit_reason.h"

namespace allometry::run {

struct Point {
  int64_t step = 0;
  int64_t tokens = 0;
  std::string series;
  std::optional<double> value;  // nullopt: not finite
};

struct CheckpointRecord {
  int64_t step = 0;
  std::string file;  // relative to the run directory
  std::string hash;
  int64_t bytes = 0;
};

// Where and how an attempt computes. The record's kind in the spool is "numerics".
struct ExecutionConfig {
  int ranks = 1;
  std::string hosts;
  int micro_batch = 0;
  std::string device;
  std::string device_model;
  std::string trainer_build;
  std::string step_backend;
  int64_t params = 0;         // that the trainer counts in its model; 0: it does not say
  std::string contract = {};  // the version of docs/trainer.md that it follows; empty: not said
};

struct UnknownRecord {
  std::string kind;
};

struct ExitRecord {
  ExitReason reason = ExitReason::kBug;
  std::string message;
  int64_t step = 0;
};

using RecordBody =
    std::variant<Point, CheckpointRecord, ExecutionConfig, ExitRecord, UnknownRecord>;

struct Record {
  uint64_t sequence = 0;
  RecordBody body;
};

std::string SpoolPath(const std::string& attempt_dir);

// One line of the spool, newline included, and back. DataLoss: the line is not whole or its hash
// does not match. InvalidArgument: it is intact and says something that no record says.
std::string EncodeRecord(const Record& record);
absl::StatusOr<Record> DecodeRecord(absl::string_view line);

class SpoolReader;

class SpoolWriter {
 public:
  // Creates the folder and the file; AlreadyExists when it is there with records in it (an attempt
  // runs once).
  static absl::StatusOr<std::unique_ptr<SpoolWriter>> Create(const std::string& attempt_dir);
  // Continues the file of an attempt whose trainer has ended, after its last whole record. The
  // agent adds the exit record in this way if the trainer left none. Creates the file if the
  // trainer ended before it could. DataLoss: the file is damaged before its tail.
  static absl::StatusOr<std::unique_ptr<SpoolWriter>> Continue(const std::string& attempt_dir);
  // The same for a caller that has read the file: reads only what follows the records that `reader`
  // returned.
  static absl::StatusOr<std::unique_ptr<SpoolWriter>> Continue(SpoolReader& reader);

  ~SpoolWriter();
  SpoolWriter(const SpoolWriter&) = delete;
  SpoolWriter& operator=(const SpoolWriter&) = delete;

  // Assigns the next sequence number. A value that is not finite is stored as nullopt.
  void Append(RecordBody body);
  // ResourceExhausted on a full disk. Bytes that could not be written stay buffered; call again
  // later.
  absl::Status Flush();
  absl::Status Sync();
  uint64_t last_sequence() const { return last_sequence_; }

 private:
  SpoolWriter(int fd, std::string path, uint64_t last_sequence);
  const int fd_;
  const std::string path_;
  uint64_t last_sequence_;
  std::string buffer_;
};

class SpoolReader {
 public:
  explicit SpoolReader(const std::string& attempt_dir);
  ~SpoolReader();
  SpoolReader(const SpoolReader&) = delete;
  SpoolReader& operator=(const SpoolReader&) = delete;

  // Up to `limit` whole records after those already read; empty when there are none yet.
  // A torn tail reads as "none yet" until the writer completes or replaces it. DataLoss as above,
  // also for a gap in the sequence and for an intact line that is no record. It comes after all
  // records before the damage were delivered, and again on every later call.
  absl::StatusOr<std::vector<Record>> Read(int limit);
  // The next record read will be the one after `sequence`. OutOfRange: the spool ends before it,
  // because its machine crashed before a sync; the reader then stands at the end.
  absl::Status SeekAfter(uint64_t sequence);

 private:
  friend class SpoolWriter;  // Continue: where the last whole record ends
  // Appends the file's next bytes to buffer_; false at its end or where it is not there yet.
  absl::StatusOr<bool> ReadMore();

  const std::string path_;
  int fd_ = -1;
  int64_t delivered_bytes_ = 0;  // the offset of buffer_ in the file
  std::string buffer_;           // bytes read and not yet delivered
  uint64_t last_sequence_ = 0;
};

}  // namespace allometry::run
