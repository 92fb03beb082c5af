// What people and scripts ask for (proto/client.proto), over the store, the dispatch and the fits.
//
// The transport has decided who may call (transport/). Each call runs on a thread of gRPC; all
// shared members are safe from any thread.
#pragma once

#include <algorithm>
#include <functional>
#include <thread>

#include "coordinator/leases/dispatch.h"
#include "coordinator/services/heavy_work.h"
#include "coordinator/services/long_calls.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "proto/client.grpc.pb.h"

namespace allometry::coordinator {

class ClientService final : public v1::ClientService::Service {
 public:
  // All outlive it.
  ClientService(store::Store& store, Dispatch& dispatch, Stages& stages, const ChangeFeed& feed)
      : store_(store), dispatch_(dispatch), stages_(stages), feed_(feed) {}

  grpc::Status CreateSweep(grpc::ServerContext* context, const v1::CreateSweepRequest* request,
                           v1::CreateSweepResponse* response) override;
  grpc::Status GetSweep(grpc::ServerContext* context, const v1::GetSweepRequest* request,
                        v1::GetSweepResponse* response) override;
  grpc::Status ListSweeps(grpc::ServerContext* context, const v1::ListSweepsRequest* request,
                          v1::ListSweepsResponse* response) override;
  grpc::Status WatchSweep(grpc::ServerContext* context, const v1::WatchSweepRequest* request,
                          grpc::ServerWriter<v1::WatchSweepResponse>* writer) override;
  grpc::Status CancelSweep(grpc::ServerContext* context, const v1::CancelSweepRequest* request,
                           v1::CancelSweepResponse* response) override;
  grpc::Status RetrySweep(grpc::ServerContext* context, const v1::RetrySweepRequest* request,
                          v1::RetrySweepResponse* response) override;
  grpc::Status PreemptSweep(grpc::ServerContext* context, const v1::PreemptSweepRequest* request,
                            v1::PreemptSweepResponse* response) override;
  grpc::Status SetDrained(grpc::ServerContext* context, const v1::SetDrainedRequest* request,
                          v1::SetDrainedResponse* response) override;
  grpc::Status Fit(grpc::ServerContext* context, const v1::FitRequest* request,
                   v1::FitResponse* response) override;
  grpc::Status Predict(grpc::ServerContext* context, const v1::PredictRequest* request,
                       v1::PredictResponse* response) override;
  grpc::Status ProposeCells(grpc::ServerContext* context, const v1::ProposeCellsRequest* request,
                            v1::ProposeCellsResponse* response) override;
  grpc::Status ListPredictions(grpc::ServerContext* context,
                               const v1::ListPredictionsRequest* request,
                               v1::ListPredictionsResponse* response) override;
  grpc::Status Export(grpc::ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportResponse>* writer) override;
  grpc::Status ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest* request,
                           v1::ListWorkersResponse* response) override;
  grpc::Status Backup(grpc::ServerContext* context, const v1::BackupRequest* request,
                      grpc::ServerWriter<v1::BackupResponse>* writer) override;

 private:
  // Runs a computation that takes seconds in its turn, unless the client has left meanwhile.
  template <class Response>
  grpc::Status Compute(const grpc::ServerContext& context,
                       const std::function<absl::StatusOr<Response>()>& compute,
                       Response* response);

  store::Store& store_;
  Dispatch& dispatch_;
  Stages& stages_;
  const ChangeFeed& feed_;
  // Limits of calls that hold a thread for long; a backup also holds a copy of the database.
  LongCalls watches_{128, "watches", /*oldest_gives_way=*/true};
  LongCalls exports_{32, "exports", /*oldest_gives_way=*/false};
  LongCalls backups_{4, "backups", /*oldest_gives_way=*/false};
  // As many fits at once as the machine has cores.
  HeavyWork fits_{static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
};

}  // namespace allometry::coordinator
