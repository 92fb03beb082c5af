// One agent's stream of records: reads batches, hands them to the store, writes acks.
//
// Two threads a stream: the call's own reads, another writes what became durable. At most
// kMaxPendingBytes of a stream wait for the disk; beyond that it is not read, gRPC's flow control
// holds the sender, and memory stays bounded. Acks of one attempt that became durable together
// leave as one. A stale batch is an ack like another: the stream goes on for the other attempts.
// A batch of more than kMaxBatchBytes, or one that is none, ends it.
#pragma once

#include <functional>

#include "base/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/sync_stream.h"
#include "proto/worker.pb.h"

namespace allometry::coordinator {

inline constexpr size_t kMaxPendingBytes = 1 << 20;
// An agent cuts its batches at a quarter of it.
inline constexpr size_t kMaxBatchBytes = 1 << 20;

// Of serialised v1::RecordBatch: how long one is is known before it is parsed.
using RecordStream = grpc::ServerReaderWriter<v1::RecordAck, grpc::ByteBuffer>;

// Called from any thread, exactly once, with the ack or why nothing could be stored.
using AppendDone = std::function<void(absl::StatusOr<v1::RecordAck>)>;
using Append = std::function<void(v1::RecordBatch, AppendDone)>;

// Serves until the agent closes the stream, goes away, or something could not be stored (then the
// last ack has the reason as its message, and the agent comes back to send again). Returns when
// every batch that was begun is done.
grpc::Status ServeRecords(grpc::ServerContext& context, RecordStream& stream, const Append& append);

}  // namespace allometry::coordinator
