// What people and scripts ask for (proto/client.proto), over the store, the dispatch and the fits.
//
// The transport has decided who may call (transport/). Each call runs on a thread of gRPC; all
// shared members are safe from any thread.
#pragma once

#include <algorithm>
#include <functional>
#include <thread>

#include "coordinator/leases/dispatch.h"
#include "coordinator/services/bounded_service.h"
#include "coordinator/services/heavy_work.h"
#include "coordinator/services/long_calls.h"
#include "coordinator/stages/stages.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

class ClientService final : public BoundedService {
 public:
  // All outlive it.
  ClientService(store::Store& store, Dispatch& dispatch, Stages& stages, const ChangeFeed& feed);

  grpc::Status CreateSweep(grpc::ServerContext* context, const v1::CreateSweepRequest* request,
                           v1::CreateSweepResponse* response);
  grpc::Status ImportSweep(grpc::ServerContext* context, const v1::ImportSweepRequest* request,
                           v1::ImportSweepResponse* response);
  grpc::Status GetSweep(grpc::ServerContext* context, const v1::GetSweepRequest* request,
                        v1::GetSweepResponse* response);
  grpc::Status ListSweeps(grpc::ServerContext* context, const v1::ListSweepsRequest* request,
                          v1::ListSweepsResponse* response);
  grpc::Status WatchSweep(grpc::ServerContext* context, const v1::WatchSweepRequest* request,
                          grpc::ServerWriter<v1::WatchSweepResponse>* writer);
  grpc::Status CancelSweep(grpc::ServerContext* context, const v1::CancelSweepRequest* request,
                           v1::CancelSweepResponse* response);
  grpc::Status RetrySweep(grpc::ServerContext* context, const v1::RetrySweepRequest* request,
                          v1::RetrySweepResponse* response);
  grpc::Status PreemptSweep(grpc::ServerContext* context, const v1::PreemptSweepRequest* request,
                            v1::PreemptSweepResponse* response);
  grpc::Status SetDrained(grpc::ServerContext* context, const v1::SetDrainedRequest* request,
                          v1::SetDrainedResponse* response);
  grpc::Status Fit(grpc::ServerContext* context, const v1::FitRequest* request,
                   v1::FitResponse* response);
  grpc::Status Predict(grpc::ServerContext* context, const v1::PredictRequest* request,
                       v1::PredictResponse* response);
  grpc::Status ProposeCells(grpc::ServerContext* context, const v1::ProposeCellsRequest* request,
                            v1::ProposeCellsResponse* response);
  grpc::Status ListPredictions(grpc::ServerContext* context,
                               const v1::ListPredictionsRequest* request,
                               v1::ListPredictionsResponse* response);
  grpc::Status Export(grpc::ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportResponse>* writer);
  grpc::Status ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest* request,
                           v1::ListWorkersResponse* response);
  grpc::Status Backup(grpc::ServerContext* context, const v1::BackupRequest* request,
                      grpc::ServerWriter<v1::BackupResponse>* writer);
  grpc::Status WatchChanges(grpc::ServerContext* context, const v1::WatchChangesRequest* request,
                            grpc::ServerWriter<v1::SweepChanges>* writer);
  grpc::Status GetCurves(grpc::ServerContext* context, const v1::GetCurvesRequest* request,
                         v1::GetCurvesResponse* response);
  grpc::Status GetRun(grpc::ServerContext* context, const v1::GetRunRequest* request,
                      v1::GetRunResponse* response);
  grpc::Status GetSource(grpc::ServerContext* context, const v1::GetSourceRequest* request,
                         v1::GetSourceResponse* response);
  grpc::Status LabelSweep(grpc::ServerContext* context, const v1::LabelSweepRequest* request,
                          v1::LabelSweepResponse* response);
  grpc::Status DeleteSweep(grpc::ServerContext* context, const v1::DeleteSweepRequest* request,
                           v1::DeleteSweepResponse* response);

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
  // What is read of a sweep file takes two hundred times its bytes for a while.
  HeavyWork submissions_{2};
  // A picture reads every point of a sweep, on a reader of the database: two of the four.
  HeavyWork curves_{2};
  // As many fits at once as the machine has cores.
  HeavyWork fits_{static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
};

}  // namespace allometry::coordinator
