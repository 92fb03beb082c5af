// What agents say (proto/worker.proto), over the dispatch. Every method first checks the token.
#pragma once

#include <atomic>

#include "coordinator/services/access.h"
#include "coordinator/leases/dispatch.h"
#include "proto/worker.grpc.pb.h"

namespace allometry::coordinator {

class WorkerService final : public v1::WorkerService::Service {
 public:
  // Both outlive it.
  WorkerService(Dispatch& dispatch, const TokenCheck& token) : dispatch_(dispatch), token_(token) {}

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                        v1::RegisterResponse* response) override;
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override;
  grpc::Status StreamRecords(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::RecordAck, v1::RecordBatch>* stream) override;

 private:
  Dispatch& dispatch_;
  const TokenCheck& token_;
  std::atomic<int> streams_ = 0;
};

}  // namespace allometry::coordinator
