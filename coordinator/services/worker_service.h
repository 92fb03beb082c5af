// What agents say (proto/worker.proto), over the dispatch.
#pragma once

#include <atomic>

#include "coordinator/leases/dispatch.h"
#include "coordinator/services/agent_sessions.h"
#include "proto/worker.grpc.pb.h"

namespace allometry::coordinator {

class WorkerService final : public v1::WorkerService::Service {
 public:
  // Both outlive this. A lease as the dispatch has it.
  WorkerService(Dispatch& dispatch, int64_t lease_ms, const Clock& clock)
      : dispatch_(dispatch), sessions_(lease_ms, clock) {}

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                        v1::RegisterResponse* response) override;
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override;
  grpc::Status StreamRecords(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::RecordAck, v1::RecordBatch>* stream) override;

 private:
  Dispatch& dispatch_;
  AgentSessions sessions_;
  Mutex registering_;  // so that of two copies one comes first
  std::atomic<int> streams_ = 0;
};

}  // namespace allometry::coordinator
