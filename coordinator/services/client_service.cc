#include "coordinator/services/client_service.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/results/curves.h"
#include "coordinator/results/export.h"
#include "coordinator/results/fits.h"
#include "coordinator/results/predictions.h"
#include "coordinator/results/proposals.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/request_limits.h"
#include "coordinator/services/run_remarks.h"
#include "coordinator/services/run_summary.h"
#include "coordinator/services/watch.h"
#include "coordinator/services/watch_changes.h"
#include "coordinator/stages/imported_sweep.h"
#include "coordinator/stages/submission.h"
#include "proto/run_choices.h"
#include "transport/user.h"

namespace allometry::coordinator {
namespace {

constexpr int64_t kLongestStopMs = 24 * 3600 * 1000;

template <class Response>
grpc::Status Answer(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return ToClient(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

void AddStages(const std::vector<v1::StageResult>& stages, v1::Sweep& sweep) {
  sweep.mutable_stages()->Add(stages.begin(), stages.end());
}

// Whether the client waits no more: it has left, or its deadline is over.
std::function<bool()> HasLeft(const grpc::ServerContext& context) {
  return [&context] { return context.IsCancelled(); };
}

bool IsOpen(const v1::Sweep& sweep) {
  return sweep.runs() > sweep.runs_succeeded() + sweep.runs_failed() + sweep.runs_cancelled();
}

store::User UserOf(const grpc::ServerContext& context) {
  transport::CallingUser user = transport::UserOf(context);
  return {std::move(user.name), user.is_claimed};
}

// A sweep may have ten thousand runs.
template <class Message>
void MoveInto(std::vector<Message>& from, google::protobuf::RepeatedPtrField<Message>& to) {
  to.Reserve(static_cast<int>(from.size()));
  for (Message& message : from) *to.Add() = std::move(message);
}

}  // namespace

template <class Response>
grpc::Status ClientService::Compute(const grpc::ServerContext& context,
                                    const std::function<absl::StatusOr<Response>()>& compute,
                                    Response* response) {
  absl::StatusOr<Response> result = absl::CancelledError();
  const absl::Status done = fits_.Run(HasLeft(context), [&] { result = compute(); });
  return done.ok() ? Answer(std::move(result), response) : ToClient(done);
}

ClientService::ClientService(store::Store& store, Dispatch& dispatch, Stages& stages,
                             const ChangeFeed& feed)
    : BoundedService(*v1::FitRequest::descriptor()->file()->FindServiceByName("ClientService")),
      store_(store),
      dispatch_(dispatch),
      stages_(stages),
      feed_(feed) {
  constexpr size_t kSweep = 4 << 20;  // with its dataset's manifest
  constexpr size_t kRuns = 2 << 20;   // may name every run of a sweep
  constexpr size_t kWords = 64 << 10;
  Unary("CreateSweep", kSweep, &ClientService::CreateSweep);
  Unary("ImportSweep", kSweep, &ClientService::ImportSweep);
  Unary("GetSweep", kWords, &ClientService::GetSweep);
  Unary("ListSweeps", kWords, &ClientService::ListSweeps);
  ServerStream("WatchSweep", &ClientService::WatchSweep);
  Unary("CancelSweep", kRuns, &ClientService::CancelSweep);
  Unary("RetrySweep", kRuns, &ClientService::RetrySweep);
  Unary("PreemptSweep", kRuns, &ClientService::PreemptSweep);
  Unary("SetDrained", kWords, &ClientService::SetDrained);
  Unary("Fit", kWords, &ClientService::Fit);
  Unary("Predict", kWords, &ClientService::Predict);
  Unary("ListPredictions", kWords, &ClientService::ListPredictions);
  Unary("ProposeCells", kWords, &ClientService::ProposeCells);
  ServerStream("Export", &ClientService::Export);
  Unary("ListWorkers", kWords, &ClientService::ListWorkers);
  ServerStream("Backup", &ClientService::Backup);
  ServerStream("WatchChanges", &ClientService::WatchChanges);
  Unary("GetCurves", kWords, &ClientService::GetCurves);
  Unary("GetRun", kWords, &ClientService::GetRun);
  Unary("GetSource", kWords, &ClientService::GetSource);
  Unary("LabelSweep", kWords, &ClientService::LabelSweep);
  Unary("DeleteSweep", kWords, &ClientService::DeleteSweep);
  CheckComplete();
}

grpc::Status ClientService::CreateSweep(grpc::ServerContext* context,
                                        const v1::CreateSweepRequest* request,
                                        v1::CreateSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  grpc::Status status;
  const absl::Status done = submissions_.Run(HasLeft(*context), [&] {
    status = Answer(coordinator::CreateSweep(store_, *request, UserOf(*context)), response);
  });
  if (!done.ok()) return ToClient(done);
  if (!status.ok() || request->dry_run()) return status;
  // What keeps a stage from going on is shown with the sweep, and does not undo the submission.
  const std::string& name = response->sweep().name();
  stages_.Advance(name).IgnoreError();
  AddStages(stages_.Results(name), *response->mutable_sweep());
  dispatch_.Decide();
  dispatch_.AddReasons(*response->mutable_runs());
  return status;
}

grpc::Status ClientService::ImportSweep(grpc::ServerContext* context,
                                        const v1::ImportSweepRequest* request,
                                        v1::ImportSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  grpc::Status status;
  const absl::Status done = submissions_.Run(HasLeft(*context), [&] {
    status = Answer(coordinator::ImportSweep(store_, *request, UserOf(*context)), response);
  });
  return done.ok() ? status : ToClient(done);
}

grpc::Status ClientService::GetSweep(grpc::ServerContext*, const v1::GetSweepRequest* request,
                                     v1::GetSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  absl::StatusOr<store::StoredSweep> stored = store_.GetSweep(request->name());
  if (!stored.ok()) return ToClient(stored.status());
  *response->mutable_sweep() = std::move(stored->sweep);
  AddStages(stages_.Results(request->name()), *response->mutable_sweep());
  MoveInto(stored->runs, *response->mutable_runs());
  MoveInto(stored->cells, *response->mutable_cells());
  dispatch_.AddReasons(*response->mutable_runs());
  return ToClient(AddRemarks(store_, request->name(), *response->mutable_runs()));
}

grpc::Status ClientService::ListSweeps(grpc::ServerContext*, const v1::ListSweepsRequest*,
                                       v1::ListSweepsResponse* response) {
  const absl::StatusOr<std::vector<v1::Sweep>> sweeps = store_.ListSweeps();
  if (!sweeps.ok()) return ToClient(sweeps.status());
  const std::map<int64_t, double> eta_s = dispatch_.EtaSecondsBySweep();
  for (const v1::Sweep& sweep : *sweeps) {
    v1::Sweep& listed = *response->add_sweeps();
    listed = sweep;
    const auto eta = eta_s.find(sweep.sweep_id());
    if (eta != eta_s.end() && eta->second >= 0 && IsOpen(sweep) && !sweep.being_deleted()) {
      listed.set_eta_s(eta->second);
    }
  }
  return grpc::Status::OK;
}

grpc::Status ClientService::WatchSweep(grpc::ServerContext* context,
                                       const v1::WatchSweepRequest* request,
                                       grpc::ServerWriter<v1::WatchSweepResponse>* writer) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const auto place = watches_.Enter(*context);
  if (!place.ok()) return ToClient(place.status());
  return coordinator::WatchSweep(
      store_, dispatch_, stages_, feed_, request->name(), *context,
      [&](const v1::WatchSweepResponse& message) { return (*place)->Write(*writer, message); });
}

grpc::Status ClientService::CancelSweep(grpc::ServerContext*, const v1::CancelSweepRequest* request,
                                        v1::CancelSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const absl::StatusOr<int> cancelled = store_.Cancel(
      request->name(), std::vector<int64_t>(request->run_ids().begin(), request->run_ids().end()));
  if (!cancelled.ok()) return ToClient(cancelled.status());
  response->set_cancelled(*cancelled);
  dispatch_.Decide();
  return grpc::Status::OK;
}

grpc::Status ClientService::RetrySweep(grpc::ServerContext*, const v1::RetrySweepRequest* request,
                                       v1::RetrySweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const absl::StatusOr<int> retried = store_.Retry(
      request->name(), std::vector<int64_t>(request->run_ids().begin(), request->run_ids().end()));
  if (!retried.ok()) return ToClient(retried.status());
  response->set_retried(*retried);
  dispatch_.EndHostBackoffs();
  dispatch_.Decide();
  return grpc::Status::OK;
}

grpc::Status ClientService::PreemptSweep(grpc::ServerContext*,
                                         const v1::PreemptSweepRequest* request,
                                         v1::PreemptSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  if (request->within_ms() < 0 || request->within_ms() > kLongestStopMs) {
    return ToClient(absl::InvalidArgumentError(
        absl::StrFormat("a run cannot be preempted within %d ms: 0 (its worker's own patience) to "
                        "%d are allowed",
                        request->within_ms(), kLongestStopMs)));
  }
  const absl::StatusOr<int> preempted = store_.Preempt(
      request->name(), std::vector<int64_t>(request->run_ids().begin(), request->run_ids().end()),
      request->within_ms());
  if (!preempted.ok()) return ToClient(preempted.status());
  response->set_preempted(*preempted);
  return grpc::Status::OK;
}

grpc::Status ClientService::SetDrained(grpc::ServerContext*, const v1::SetDrainedRequest* request,
                                       v1::SetDrainedResponse*) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const std::string reason = request->reason().empty() ? "drained by hand" : request->reason();
  return ToClient(dispatch_.SetDrained(request->host(), request->drained() ? reason : ""));
}

grpc::Status ClientService::Fit(grpc::ServerContext* context, const v1::FitRequest* request,
                                v1::FitResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  return Compute<v1::FitResponse>(
      *context, [&] { return FitSweep(store_, *request, HasLeft(*context)); }, response);
}

grpc::Status ClientService::Predict(grpc::ServerContext* context, const v1::PredictRequest* request,
                                    v1::PredictResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  return Compute<v1::PredictResponse>(
      *context, [&] { return PredictSweep(store_, *request, HasLeft(*context)); }, response);
}

grpc::Status ClientService::ProposeCells(grpc::ServerContext* context,
                                         const v1::ProposeCellsRequest* request,
                                         v1::ProposeCellsResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const grpc::Status status = Compute<v1::ProposeCellsResponse>(
      *context,
      [&] {
        return coordinator::ProposeCells(store_, *request, stages_.IsActive(request->sweep()),
                                         HasLeft(*context));
      },
      response);
  if (status.ok() && request->accept() > 0) dispatch_.Decide();
  return status;
}

grpc::Status ClientService::ListPredictions(grpc::ServerContext*,
                                            const v1::ListPredictionsRequest* request,
                                            v1::ListPredictionsResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  return Answer(coordinator::ListPredictions(store_, *request), response);
}

grpc::Status ClientService::Export(grpc::ServerContext* context, const v1::ExportRequest* request,
                                   grpc::ServerWriter<v1::ExportResponse>* writer) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const auto place = exports_.Enter(*context);
  if (!place.ok()) return ToClient(place.status());
  return ToClient(ExportSweep(store_, *request, [&](std::string piece) {
    v1::ExportResponse response;
    response.set_csv(std::move(piece));
    return (*place)->Write(*writer, response);
  }));
}

grpc::Status ClientService::ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                                        v1::ListWorkersResponse* response) {
  *response = dispatch_.ListWorkers();
  return grpc::Status::OK;
}

grpc::Status ClientService::Backup(grpc::ServerContext* context, const v1::BackupRequest*,
                                   grpc::ServerWriter<v1::BackupResponse>* writer) {
  const auto place = backups_.Enter(*context);
  if (!place.ok()) return ToClient(place.status());
  v1::BackupResponse response;
  const absl::StatusOr<store::BackupSummary> summary = store_.Backup([&](absl::string_view piece) {
    response.set_data(piece.data(), piece.size());
    return (*place)->Write(*writer, response);
  });
  if (!summary.ok()) return ToClient(summary.status());
  v1::BackupResponse last;
  last.set_total_bytes(summary->bytes);
  last.set_hash(summary->hash);
  writer->Write(last);
  return grpc::Status::OK;
}

grpc::Status ClientService::WatchChanges(grpc::ServerContext* context,
                                         const v1::WatchChangesRequest* request,
                                         grpc::ServerWriter<v1::SweepChanges>* writer) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  const auto place = watches_.Enter(*context);
  if (!place.ok()) return ToClient(place.status());
  return coordinator::WatchChanges(
      store_, dispatch_, stages_, feed_, *request, *context,
      [&](const v1::SweepChanges& message) { return (*place)->Write(*writer, message); });
}

grpc::Status ClientService::GetCurves(grpc::ServerContext* context,
                                      const v1::GetCurvesRequest* request,
                                      v1::GetCurvesResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  absl::StatusOr<v1::GetCurvesResponse> curves = absl::CancelledError();
  const absl::Status done =
      curves_.Run(HasLeft(*context), [&] { curves = coordinator::GetCurves(store_, *request); });
  return done.ok() ? Answer(std::move(curves), response) : ToClient(done);
}

grpc::Status ClientService::GetRun(grpc::ServerContext*, const v1::GetRunRequest* request,
                                   v1::GetRunResponse* response) {
  const absl::StatusOr<store::RunRow> row = store_.GetRun(request->run_id());
  if (!row.ok()) return ToClient(row.status());
  const absl::StatusOr<std::vector<store::Attempt>> attempts = store_.Attempts(request->run_id());
  if (!attempts.ok()) return ToClient(attempts.status());
  response->set_sweep(row->sweep);
  response->set_flops_convention(run::NameOf(row->flops_convention));
  google::protobuf::RepeatedPtrField<v1::Run> runs;
  *runs.Add() = row->run;
  dispatch_.AddReasons(runs);
  *response->mutable_run() = runs[0];
  for (const store::Attempt& attempt : *attempts) {
    *response->add_attempts() = SummaryOf(attempt);
  }
  if (request->with_log() && !attempts->empty() &&
      attempts->back().state == store::AttemptState::kLeased) {
    const RunningLog log = dispatch_.AskForLog(attempts->back().lease);
    v1::AttemptSummary& newest = *response->mutable_attempts()->rbegin();
    newest.set_log_tail(log.tail);
    newest.set_log_unix_us(log.unix_us);
  }
  return grpc::Status::OK;
}

grpc::Status ClientService::GetSource(grpc::ServerContext*, const v1::GetSourceRequest* request,
                                      v1::GetSourceResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  absl::StatusOr<store::SweepSource> source = store_.GetSource(request->name());
  if (!source.ok()) return ToClient(source.status());
  response->set_file_name(source->file_name);
  response->set_sweep_yaml(source->text);
  return grpc::Status::OK;
}

grpc::Status ClientService::LabelSweep(grpc::ServerContext*, const v1::LabelSweepRequest* request,
                                       v1::LabelSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  store::LabelChange change;
  change.add_tags.assign(request->add_tags().begin(), request->add_tags().end());
  change.remove_tags.assign(request->remove_tags().begin(), request->remove_tags().end());
  if (request->has_note()) change.note = request->note();
  if (request->has_archived()) change.archived = request->archived();
  absl::StatusOr<v1::Sweep> sweep = store_.Label(request->name(), change);
  if (!sweep.ok()) return ToClient(sweep.status());
  *response->mutable_sweep() = *std::move(sweep);
  AddStages(stages_.Results(request->name()), *response->mutable_sweep());
  return grpc::Status::OK;
}

grpc::Status ClientService::DeleteSweep(grpc::ServerContext* context,
                                        const v1::DeleteSweepRequest* request,
                                        v1::DeleteSweepResponse* response) {
  if (const grpc::Status refused = ToClient(CheckLimits(*request)); !refused.ok()) return refused;
  if (stages_.IsActive(request->name())) {
    return ToClient(absl::FailedPreconditionError(absl::StrFormat(
        "sweep '%s' has not ended: a stage of it is about to add runs; 'allo cancel "
        "%s' ends them once they are there",
        request->name(), request->name())));
  }
  const absl::StatusOr<store::DeletionSummary> summary =
      request->dry_run()
          ? store_.PlanDeletion(request->name())
          // Goes on when the client has left: half a deletion helps nobody.
          : store_.Delete(request->name(), UserOf(*context), [this] { return feed_.closed(); });
  if (!summary.ok()) return ToClient(summary.status());
  if (!request->dry_run()) stages_.Advance(request->name()).IgnoreError();
  response->set_runs(summary->runs);
  response->set_points(summary->points);
  response->set_fits(summary->fits);
  response->set_predictions(summary->predictions);
  response->set_checkpoints(summary->checkpoints);
  response->set_checkpoint_bytes(summary->checkpoint_bytes);
  const std::set<std::string> live = dispatch_.LiveRunRoots();
  for (const auto& [root_id, directories] : summary->directories) {
    response->set_run_directories(response->run_directories() + directories);
    if (live.count(root_id) == 0) {
      response->set_unreachable_directories(response->unreachable_directories() + directories);
    }
  }
  return grpc::Status::OK;
}

}  // namespace allometry::coordinator
