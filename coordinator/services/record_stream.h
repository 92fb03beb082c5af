// One agent's stream of records: reads batches, gives them to the store, writes acknowledgements.
//
// Two threads a stream: the call's own thread reads, another writes what became durable. At most
// kMaxPendingBytes of a stream wait for the disk. Beyond that the stream is not read, gRPC's flow
// control stops the sender, and memory stays bounded. Acknowledgements of one attempt that became
// durable together are sent as one. A stale batch is acknowledged as stale, and the stream goes on
// for the other attempts. A batch of more than kMaxBatchBytes, or bytes that are no
// batch, end the stream.
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

// Called from any thread, exactly once, with the acknowledgement or the error of the store.
using AppendDone = std::function<void(absl::StatusOr<v1::RecordAck>)>;
using Append = std::function<void(v1::RecordBatch, AppendDone)>;

// Serves until the agent closes the stream, disconnects, or a batch could not be stored. In the
// last case the last acknowledgement has the reason, and the agent opens a new stream and sends
// again. Returns when every batch that was begun is done.
grpc::Status ServeRecords(grpc::ServerContext& context, RecordStream& stream, const Append& append);

}  // namespace allometry::coordinator
