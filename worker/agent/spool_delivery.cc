#include "worker/agent/spool_delivery.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "worker/agent/record_conversion.h"

namespace allometry::agent {

SpoolDelivery::SpoolDelivery(Lease lease, std::string attempt_dir, std::string root_id)
    : lease_(std::move(lease)),
      attempt_dir_(std::move(attempt_dir)),
      root_id_(std::move(root_id)),
      reader_(std::make_unique<run::SpoolReader>(attempt_dir_)) {}

absl::StatusOr<const v1::RecordBatch*> SpoolDelivery::NextBatch() {
  if (outbox_.empty()) ALLO_RETURN_IF_ERROR(FillOutbox());
  if (outbox_.empty()) return nullptr;
  sent_.push_back(std::move(outbox_.front()));
  outbox_.pop_front();
  return &sent_.back();
}

absl::StatusOr<bool> SpoolDelivery::AtEnd() {
  if (WindowIsFull() || !outbox_.empty()) return false;
  ALLO_RETURN_IF_ERROR(FillOutbox());
  return outbox_.empty();
}

absl::Status SpoolDelivery::FillOutbox() {
  if (WindowIsFull()) return absl::OkStatus();
  if (memory_exit_.has_value() && last_sequence_ + 1 >= memory_exit_->sequence) {
    // Nothing more is read: it tells why. After a rewind it comes again at its place.
    if (last_sequence_ < memory_exit_->sequence) Put(*memory_exit_);
    return absl::OkStatus();
  }
  if (refused_.has_value()) return absl::DataLossError(refused_->message);
  ALLO_ASSIGN_OR_RETURN(const std::vector<run::Record> records, reader_->Read(kBatchRecords));
  for (const run::Record& record : records) {
    if (check_ && record.sequence > checked_) {
      checked_ = record.sequence;
      refused_ = check_(record);
      if (refused_.has_value()) break;  // told with the next call
    }
    if (memory_exit_.has_value() && record.sequence >= memory_exit_->sequence) break;
    Put(record);
  }
  return absl::OkStatus();
}

void SpoolDelivery::Put(const run::Record& record) {
  v1::Record message = ToProto(record, lease_.attempt, root_id_);
  const size_t bytes = message.ByteSizeLong();
  if (outbox_.empty() || open_batch_bytes_ + bytes > kBatchBytes) {
    *outbox_.emplace_back().mutable_lease() = ToProto(lease_);
    open_batch_bytes_ = 0;
  }
  *outbox_.back().add_records() = std::move(message);
  open_batch_bytes_ += bytes;
  last_sequence_ = record.sequence;
  if (const auto* point = std::get_if<run::Point>(&record.body)) {
    last_step_ = std::max(last_step_, point->step);
  } else if (const auto* exit = std::get_if<run::ExitRecord>(&record.body)) {
    exit_ = *exit;
    exit_sequence_ = record.sequence;
  }
}

absl::Status SpoolDelivery::Acknowledge(uint64_t durable_sequence) {
  if (durable_sequence < acked_) return ReadAgainAfter(durable_sequence);
  acked_ = std::max(acked_, std::min(durable_sequence, last_sequence_));
  const auto durable = [&](const v1::RecordBatch& batch) {
    return batch.records(batch.records_size() - 1).sequence() <= acked_;
  };
  while (!sent_.empty() && durable(sent_.front())) sent_.pop_front();
  return absl::OkStatus();
}

absl::Status SpoolDelivery::ReadAgainAfter(uint64_t sequence) {
  auto reader = std::make_unique<run::SpoolReader>(attempt_dir_);
  // Of a file that has lost its end nothing would ever come.
  ALLO_RETURN_IF_ERROR(
      reader->SeekAfter(memory_exit_.has_value() ? memory_exit_->sequence - 1 : last_sequence_));
  ALLO_RETURN_IF_ERROR(reader->SeekAfter(sequence));
  reader_ = std::move(reader);
  sent_.clear();
  outbox_.clear();
  acked_ = last_sequence_ = sequence;
  return absl::OkStatus();
}

void SpoolDelivery::Rewind() {
  while (!sent_.empty()) {
    outbox_.push_front(std::move(sent_.back()));
    sent_.pop_back();
  }
  open_batch_bytes_ = kBatchBytes;  // what is read from now on begins a batch of its own
}

void SpoolDelivery::AppendExit(run::ExitRecord exit) {
  ALLO_CHECK(!has_exit()) << LeaseName(lease_);
  exit.step = last_step_;
  absl::StatusOr<std::unique_ptr<run::SpoolWriter>> writer = run::SpoolWriter::Continue(*reader_);
  // An exit that the file has and that could not be synced is read again at most by a person.
  if (writer.ok() && (*writer)->last_sequence() == last_sequence_) {
    (*writer)->Append(exit);
    if ((*writer)->Sync().ok()) {
      exit_ = std::move(exit);
      exit_sequence_ = last_sequence_ + 1;  // the reader finds it
      return;
    }
  }
  memory_exit_ = run::Record{last_sequence_ + 1, std::move(exit)};
  Put(*memory_exit_);
}

}  // namespace allometry::agent
