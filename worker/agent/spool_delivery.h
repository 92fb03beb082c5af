// Delivery of one attempt's spool: which records were sent, and which the coordinator has stored.
//
// Records are sent in order, in batches of whole records. An acknowledgement says up to which
// record all are durable. If the stream breaks, Rewind() makes the records without acknowledgement
// be sent again; the coordinator ignores those that it has. At most kWindowRecords and one read are
// in memory: while the coordinator is slow or away the rest waits in the file. One thread, no
// clock, no network.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "proto/worker.pb.h"
#include "run/spool.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

class SpoolDelivery {
 public:
  static constexpr int kBatchRecords = 1000;
  static constexpr size_t kBatchBytes = 256 * 1024;
  static constexpr uint64_t kWindowRecords = 8000;

  SpoolDelivery(Lease lease, std::string attempt_dir, std::string root_id);

  // Every record is shown to `check` once, in order; what it returns ends the attempt: the record
  // is not sent, nothing after it is, and NextBatch and AtEnd are DataLoss with the message.
  void CheckWith(std::function<std::optional<run::ExitRecord>(const run::Record&)> check) {
    check_ = std::move(check);
  }
  const std::optional<run::ExitRecord>& refused() const { return refused_; }

  // The next batch to send, valid until the next call of anything; null when there is none now or
  // the window is full. DataLoss: the spool is damaged, and all before the damage was returned.
  absl::StatusOr<const v1::RecordBatch*> NextBatch();

  // A value below an earlier one means that the coordinator's database went back (a restored copy,
  // or a log lost with its machine): the records after it are read from the file and sent again.
  // OutOfRange, DataLoss: the file does not have them any more.
  absl::Status Acknowledge(uint64_t durable_sequence);
  void Rewind();

  // Whether every record in the file was returned by NextBatch; reads on where the window allows.
  // Final only once the trainer is gone. DataLoss as above.
  absl::StatusOr<bool> AtEnd();
  // Ends the spool of an attempt whose trainer is gone and left no exit record: in the file, or,
  // where that is full or damaged, in memory. Only after AtEnd(), or after DataLoss.
  void AppendExit(run::ExitRecord exit);

  // The exit record was read or appended.
  bool has_exit() const { return exit_.has_value(); }
  const run::ExitRecord& exit() const { return *exit_; }
  // The exit record is durable: nothing is left to do for this attempt.
  bool delivered() const { return has_exit() && acked_ >= exit_sequence_; }
  uint64_t acknowledged() const { return acked_; }
  // Sequence and training step of the newest record read.
  uint64_t last_sequence() const { return last_sequence_; }
  int64_t last_step() const { return last_step_; }

 private:
  // Reads up to kBatchRecords into outbox_ as one batch or more, unless the window is full.
  absl::Status FillOutbox();
  absl::Status ReadAgainAfter(uint64_t sequence);
  bool WindowIsFull() const { return last_sequence_ >= acked_ + kWindowRecords; }
  void Put(const run::Record& record);

  const Lease lease_;
  const std::string attempt_dir_;
  const std::string root_id_;
  std::unique_ptr<run::SpoolReader> reader_;
  std::deque<v1::RecordBatch> outbox_;  // read and not sent, or to be sent again
  std::deque<v1::RecordBatch> sent_;    // sent and not acknowledged
  std::function<std::optional<run::ExitRecord>(const run::Record&)> check_;  // may be null
  uint64_t checked_ = 0;                    // the newest record that it saw
  std::optional<run::ExitRecord> refused_;  // what it said
  std::optional<run::Record> memory_exit_;  // an exit record that the file could not take
  std::optional<run::ExitRecord> exit_;
  uint64_t exit_sequence_ = 0;
  uint64_t last_sequence_ = 0;  // the newest record put into outbox_
  int64_t last_step_ = 0;
  uint64_t acked_ = 0;
  size_t open_batch_bytes_ = 0;  // of outbox_.back()
};

}  // namespace allometry::agent
