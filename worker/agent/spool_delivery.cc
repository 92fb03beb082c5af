#include "worker/agent/spool_delivery.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "worker/agent/record_conversion.h"

namespace allometry::agent {

SpoolDelivery::SpoolDelivery(Lease lease, std::string attempt_dir, std::string root_id)
    : lease_(std::move(lease)),
      attempt_dir_(std::move(attempt_dir)),
      root_id_(std::move(root_id)),
      reader_(std::make_unique<rundir::SpoolReader>(attempt_dir_)) {}

absl::StatusOr<std::optional<v1::RecordBatch>> SpoolDelivery::NextBatch() {
  if (outbox_.empty()) ALLO_RETURN_IF_ERROR(FillOutbox());
  if (outbox_.empty()) return std::optional<v1::RecordBatch>();
  std::optional<v1::RecordBatch> batch = std::move(outbox_.front());
  outbox_.pop_front();
  return batch;
}

absl::StatusOr<bool> SpoolDelivery::AtEnd() {
  if (WindowIsFull() || !outbox_.empty()) return false;
  ALLO_RETURN_IF_ERROR(FillOutbox());
  return outbox_.empty();
}

absl::Status SpoolDelivery::FillOutbox() {
  if (WindowIsFull()) return absl::OkStatus();
  const absl::StatusOr<std::vector<rundir::Record>> records = reader_->Read(kBatchRecords);
  // With an exit record in memory, the damage is what that record tells.
  if (!records.ok() && !memory_exit_.has_value()) return records.status();
  if (records.ok()) {
    for (const rundir::Record& record : *records) Put(record);
  }
  if (outbox_.empty() && memory_exit_.has_value() && position_ < memory_exit_->sequence) {
    Put(*memory_exit_);
  }
  return absl::OkStatus();
}

void SpoolDelivery::Put(const rundir::Record& record) {
  v1::Record message = ToProto(record, lease_.attempt, root_id_);
  const size_t bytes = message.ByteSizeLong();
  if (outbox_.empty() || open_batch_bytes_ + bytes > kBatchBytes) {
    outbox_.emplace_back();
    *outbox_.back().mutable_lease() = ToProto(lease_);
    open_batch_bytes_ = 0;
  }
  *outbox_.back().add_records() = std::move(message);
  open_batch_bytes_ += bytes;
  position_ = record.sequence;
  if (record.sequence > last_sequence_) Note(record);
}

void SpoolDelivery::Note(const rundir::Record& record) {
  last_sequence_ = record.sequence;
  if (const auto* point = std::get_if<rundir::Point>(&record.body)) {
    last_step_ = std::max(last_step_, point->step);
  } else if (const auto* exit = std::get_if<rundir::ExitRecord>(&record.body)) {
    exit_ = *exit;
    exit_sequence_ = record.sequence;
  }
}

void SpoolDelivery::Acknowledge(uint64_t durable_sequence) {
  acked_ = std::max(acked_, std::min(durable_sequence, last_sequence_));
}

void SpoolDelivery::Rewind() {
  outbox_.clear();
  reader_ = std::make_unique<rundir::SpoolReader>(attempt_dir_);
  // An error is met again, and told, by the next Read.
  reader_->SeekAfter(memory_exit_ ? std::min(acked_, memory_exit_->sequence - 1) : acked_)
      .IgnoreError();
  position_ = acked_;
}

void SpoolDelivery::AppendExit(rundir::ExitRecord exit) {
  ALLO_CHECK(!has_exit()) << LeaseName(lease_);
  exit.step = last_step_;
  absl::StatusOr<std::unique_ptr<rundir::SpoolWriter>> writer =
      rundir::SpoolWriter::Continue(attempt_dir_);
  absl::Status written = writer.status();
  if (writer.ok() && (*writer)->last_sequence() == last_sequence_) {
    (*writer)->Append(exit);
    written = (*writer)->Sync();
    if (written.ok()) {
      // The file may have lost a torn tail that the reader has in its buffer.
      reader_ = std::make_unique<rundir::SpoolReader>(attempt_dir_);
      reader_->SeekAfter(position_).IgnoreError();
    }
  } else if (writer.ok()) {
    written = absl::DataLossError("the spool ends elsewhere than where it was read to");
  }
  exit_sequence_ = ++last_sequence_;
  if (!written.ok()) memory_exit_ = rundir::Record{exit_sequence_, exit};
  exit_ = std::move(exit);
}

}  // namespace allometry::agent
