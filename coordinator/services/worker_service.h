// What agents say (proto/worker.proto), over the dispatch.
#pragma once

#include <atomic>

#include "coordinator/leases/dispatch.h"
#include "coordinator/services/agent_sessions.h"
#include "coordinator/services/bounded_service.h"
#include "coordinator/services/record_stream.h"
#include "proto/worker.pb.h"

namespace allometry::coordinator {

class WorkerService final : public BoundedService {
 public:
  // Both outlive this. A lease as the dispatch has it.
  WorkerService(Dispatch& dispatch, int64_t lease_ms, const Clock& clock);

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                        v1::RegisterResponse* response);
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response);
  grpc::Status StreamRecords(grpc::ServerContext* context, RecordStream* stream);

 private:
  Dispatch& dispatch_;
  AgentSessions sessions_;
  Mutex registering_;  // so that of two copies one comes first
  std::atomic<int> streams_ = 0;
};

}  // namespace allometry::coordinator
