#include "coordinator/services/record_stream.h"

#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/mutex.h"
#include "coordinator/services/grpc_status.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace allometry::coordinator {
namespace {

// What the two threads of a stream and the store's thread share.
class PendingAcks {
 public:
  // Waits until `bytes` more may wait for the disk; a batch larger than the limit waits alone.
  void Begin(size_t bytes) {
    MutexLock lock(mutex_);
    while (batches_ > 0 && bytes_ + bytes > kMaxPendingBytes) changed_.Wait(lock);
    ++batches_;
    bytes_ += bytes;
  }

  void Finish(size_t bytes, absl::StatusOr<v1::RecordAck> ack) {
    MutexLock lock(mutex_);
    --batches_;
    bytes_ -= bytes;
    if (ack.ok()) {
      Add(*std::move(ack));
    } else if (failure_.ok()) {
      failure_ = ack.status();
    }
    changed_.NotifyAll();
  }

  void EndOfReading() {
    MutexLock lock(mutex_);
    reading_ = false;
    changed_.NotifyAll();
  }

  // The acks that are ready, waiting for one; empty at the end: everything read is done, or
  // something failed (see failure()).
  std::vector<v1::RecordAck> Take() {
    MutexLock lock(mutex_);
    while (ready_.empty() && failure_.ok() && (reading_ || batches_ > 0)) changed_.Wait(lock);
    return std::exchange(ready_, {});
  }

  void WaitUntilAllAreDone() {
    MutexLock lock(mutex_);
    while (batches_ > 0) changed_.Wait(lock);
  }

  absl::Status failure() {
    MutexLock lock(mutex_);
    return failure_;
  }

 private:
  void Add(v1::RecordAck ack) ALLO_REQUIRES(mutex_) {
    for (v1::RecordAck& before : ready_) {
      // One with a message (a gap, a refusal) is told by itself.
      if (before.lease().token() == ack.lease().token() && before.message().empty() &&
          ack.message().empty()) {
        before.set_durable_sequence(std::max(before.durable_sequence(), ack.durable_sequence()));
        before.mutable_set_aside()->MergeFrom(ack.set_aside());
        return;
      }
    }
    ready_.push_back(std::move(ack));
  }

  Mutex mutex_;
  ConditionVariable changed_;
  size_t bytes_ ALLO_GUARDED_BY(mutex_) = 0;
  int batches_ ALLO_GUARDED_BY(mutex_) = 0;  // handed to the store and not yet done
  bool reading_ ALLO_GUARDED_BY(mutex_) = true;
  std::vector<v1::RecordAck> ready_ ALLO_GUARDED_BY(mutex_);
  absl::Status failure_ ALLO_GUARDED_BY(mutex_);
};

void WriteAcks(PendingAcks& pending, grpc::ServerContext& context, RecordStream& stream) {
  bool connected = true;
  for (;;) {
    const std::vector<v1::RecordAck> acks = pending.Take();
    if (acks.empty()) break;
    for (const v1::RecordAck& ack : acks) connected = connected && stream.Write(ack);
  }
  const absl::Status failure = pending.failure();
  if (failure.ok()) return;
  v1::RecordAck last;
  last.set_message(std::string(failure.message()));
  if (connected) stream.Write(last);
  // The reading thread may wait for a batch that the agent sends only after its ack.
  context.TryCancel();
}

}  // namespace

grpc::Status ServeRecords(grpc::ServerContext& context, RecordStream& stream,
                          const Append& append) {
  PendingAcks pending;
  std::thread writer([&] { WriteAcks(pending, context, stream); });
  grpc::Status refused;
  grpc::ByteBuffer message;
  while (stream.Read(&message)) {
    const size_t bytes = message.Length();
    if (bytes > kMaxBatchBytes) {
      refused = grpc::Status(
          grpc::StatusCode::RESOURCE_EXHAUSTED,
          absl::StrFormat("a batch has %d bytes: allowed are at most %d", bytes, kMaxBatchBytes));
      break;
    }
    v1::RecordBatch batch;
    refused = grpc::SerializationTraits<v1::RecordBatch>::Deserialize(&message, &batch);
    if (!refused.ok()) break;
    pending.Begin(bytes);
    append(std::move(batch), [&pending, bytes](absl::StatusOr<v1::RecordAck> ack) {
      pending.Finish(bytes, std::move(ack));
    });
  }
  pending.EndOfReading();
  writer.join();
  pending.WaitUntilAllAreDone();
  return refused.ok() ? ToGrpc(pending.failure()) : refused;
}

}  // namespace allometry::coordinator
