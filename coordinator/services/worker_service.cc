#include "coordinator/services/worker_service.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/request_limits.h"

namespace allometry::coordinator {
namespace {

// An agent has one; each holds two threads and up to kMaxPendingBytes.
constexpr int kMaxStreams = 1024;
// A registration lists what an agent gives back, a heartbeat what it holds.
constexpr size_t kMostBytes = 4 << 20;

}  // namespace

WorkerService::WorkerService(Dispatch& dispatch, int64_t lease_ms, const Clock& clock)
    : BoundedService(*v1::RecordBatch::descriptor()->file()->FindServiceByName("WorkerService")),
      dispatch_(dispatch),
      sessions_(lease_ms, clock) {
  Unary("Register", kMostBytes, &WorkerService::Register);
  Unary("Heartbeat", kMostBytes, &WorkerService::Heartbeat);
  BothStream("StreamRecords", &WorkerService::StreamRecords);
  CheckComplete();
}

grpc::Status WorkerService::Register(grpc::ServerContext*, const v1::RegisterRequest* request,
                                     v1::RegisterResponse* response) {
  if (const grpc::Status refused = ToGrpc(CheckLimits(*request)); !refused.ok()) return refused;
  MutexLock lock(registering_);
  if (const absl::Status may = sessions_.Check(*request); !may.ok()) return ToGrpc(may);
  absl::StatusOr<v1::RegisterResponse> registered = dispatch_.Register(*request);
  if (!registered.ok()) return ToGrpc(registered.status());
  *response = *std::move(registered);
  response->set_session(sessions_.Open(*request));
  return grpc::Status::OK;
}

grpc::Status WorkerService::Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest* request,
                                      v1::HeartbeatResponse* response) {
  if (const grpc::Status refused = ToGrpc(CheckLimits(*request)); !refused.ok()) return refused;
  const absl::Status heard = sessions_.Hear(request->agent_id(), request->session());
  if (!heard.ok()) return ToGrpc(heard);
  absl::StatusOr<v1::HeartbeatResponse> answer = dispatch_.Heartbeat(*request);
  if (!answer.ok()) return ToGrpc(answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

grpc::Status WorkerService::StreamRecords(grpc::ServerContext* context, RecordStream* stream) {
  const auto& metadata = context->client_metadata();
  const auto found = metadata.find(kSessionKey);
  const std::string session =
      found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  if (const absl::Status may = sessions_.BeginStream(session, *context); !may.ok()) {
    return ToGrpc(may);
  }
  grpc::Status status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                      absl::StrFormat("%d streams are open already", kMaxStreams));
  if (streams_.fetch_add(1) < kMaxStreams) {
    status = ServeRecords(*context, *stream, [this](v1::RecordBatch batch, AppendDone done) {
      dispatch_.Append(std::move(batch), std::move(done));
    });
  }
  streams_.fetch_sub(1);
  sessions_.EndStream(session, *context);
  return status;
}

}  // namespace allometry::coordinator
