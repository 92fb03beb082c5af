#include "web/api.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/json_util.h"
#include "httplib.h"
#include "nlohmann/json.hpp"
#include "proto/run_conversion.h"
#include "run/run_spec.h"
#include "web/api_calls.h"
#include "web/changes_stream.h"
#include "web/json_text.h"
#include "web/page_json.h"

namespace allometry::web {
namespace {

using httplib::Request;
using httplib::Response;
using Stub = ApiCalls::Stub;

constexpr std::chrono::milliseconds kBetweenLooks(1000);

class Api : public ApiCalls {
 public:
  using ApiCalls::ApiCalls;

  void Settings(const Request&, Response& response) const {
    const nlohmann::json settings = {{"allow_changes", options_.allow_changes},
                                     {"coordinator", options_.coordinator}};
    Send(settings.dump(), response);
  }

  void Sweeps(const Request&, Response& response) const {
    v1::ListSweepsResponse answer;
    if (Call(&Stub::ListSweeps, {}, &answer, response)) Send(MessageJson(answer), response);
  }
  void SweepsCsvFile(const Request&, Response& response) const {
    v1::ListSweepsResponse answer;
    if (Call(&Stub::ListSweeps, {}, &answer, response)) {
      SendFile(SweepsCsv(answer), "text/csv", "sweeps.csv", response);
    }
  }

  void Sweep(const Request& request, Response& response) const {
    v1::SweepChanges sweep;
    if (WholeSweep(request, &sweep, response)) Send(ChangesJson(sweep), response);
  }
  void RunsCsvFile(const Request& request, Response& response) const {
    v1::SweepChanges sweep;
    if (!WholeSweep(request, &sweep, response)) return;
    SendFile(RunsCsv(sweep), "text/csv", Name(request) + "-runs.csv", response);
  }

  // A line of JSON a message, and an empty one a second while nothing changes: that is how a
  // browser that has left is noticed.
  void Changes(const Request& request, Response& response) const {
    v1::WatchChangesRequest watch;
    watch.set_name(Name(request));
    watch.set_revision(request.get_param_value("revision"));
    auto stream = std::make_shared<ChangesStream>(stub_, watch);
    ChangesStream::Next first = ChangesStream::Next::kNothingYet;
    for (int s = 0; s < kShortS && first == ChangesStream::Next::kNothingYet; ++s) {
      first = stream->Wait(kBetweenLooks);
      // With a revision there may be nothing to say for hours.
      if (!watch.revision().empty()) break;
    }
    if (first == ChangesStream::Next::kEnded) return Refuse(stream->status(), response);
    response.set_chunked_content_provider(
        "application/x-ndjson", [stream, first](size_t, httplib::DataSink& sink) mutable {
          const ChangesStream::Next next =
              first == ChangesStream::Next::kMessage
                  ? std::exchange(first, ChangesStream::Next::kNothingYet)
                  : stream->Wait(kBetweenLooks);
          if (next == ChangesStream::Next::kEnded) {
            sink.done();
            return true;
          }
          const std::string line =
              next == ChangesStream::Next::kMessage ? ChangesJson(stream->message()) + "\n" : "\n";
          return sink.is_writable() && sink.write(line.data(), line.size());
        });
  }

  void Curves(const Request& request, Response& response) const {
    v1::GetCurvesRequest curves;
    v1::GetCurvesResponse answer;
    if (ReadCurves(request, &curves, &answer, response)) Send(CurvesJson(answer), response);
  }
  void CurvesCsvFile(const Request& request, Response& response) const {
    v1::GetCurvesRequest curves;
    v1::GetCurvesResponse answer;
    if (!ReadCurves(request, &curves, &answer, response)) return;
    SendFile(CurvesCsv(answer, curves.x().empty() ? "flops" : curves.x(),
                       curves.series().empty() ? "heldout" : curves.series()),
             "text/csv", Name(request) + "-curves.csv", response);
  }

  void Source(const Request& request, Response& response) const {
    v1::GetSourceRequest source;
    source.set_name(Name(request));
    v1::GetSourceResponse answer;
    if (!Call(&Stub::GetSource, source, &answer, response)) return;
    SendFile(answer.sweep_yaml(), "text/plain", Name(request) + ".yaml", response);
  }

  void ExportCsv(const Request& request, Response& response) const {
    v1::ExportRequest exported;
    exported.set_sweep(Name(request));
    exported.set_what(request.get_param_value("what"));
    exported.set_series(request.get_param_value("series"));
    auto context = std::make_shared<grpc::ClientContext>();
    std::shared_ptr<grpc::ClientReader<v1::ExportResponse>> reader =
        stub_.Export(context.get(), exported);
    auto piece = std::make_shared<v1::ExportResponse>();
    if (!reader->Read(piece.get())) return Refuse(reader->Finish(), response);
    SaveAs(absl::StrCat(Name(request), "-",
                        exported.what().empty() ? "observations" : exported.what(), ".csv"),
           response);
    response.set_chunked_content_provider(
        "application/octet-stream", [context, reader, piece](size_t, httplib::DataSink& sink) {
          if (!sink.write(piece->csv().data(), piece->csv().size())) {
            context->TryCancel();
            return false;
          }
          if (!reader->Read(piece.get())) {
            // A file that broke off must not look whole.
            if (!reader->Finish().ok()) return false;
            sink.done();
          }
          return true;
        });
  }

  void Run(const Request& request, Response& response) const {
    v1::GetRunResponse answer;
    if (ReadRun(request, &answer, response)) Send(MessageJson(answer), response);
  }
  void RunJson(const Request& request, Response& response) const {
    v1::GetRunResponse answer;
    if (!ReadRun(request, &answer, response)) return;
    const absl::StatusOr<run::RunSpec> spec = ToRunSpec(answer.run().spec());
    if (!spec.ok()) return Refuse(FromAbsl(spec.status()), response);
    SendFile(run::RunSpecJson(*spec), "application/json",
             absl::StrCat("run-", answer.run().run_id(), ".json"), response);
  }

  void Workers(const Request&, Response& response) const {
    v1::ListWorkersResponse answer;
    if (Call(&Stub::ListWorkers, {}, &answer, response)) {
      Send(MessageJson(answer), response);
    }
  }

  // `method` takes a sweep and runs of it.
  template <class Message, class Answer>
  void ChangeRuns(grpc::Status (Stub::*method)(grpc::ClientContext*, const Message&, Answer*),
                  const Request& request, Response& response) const {
    const nlohmann::json body = nlohmann::json::parse(request.body, nullptr, false);
    Message message;
    bool valid = body.is_object() && body.contains("name") && body["name"].is_string();
    if (valid) {
      message.set_name(body["name"].get<std::string>());
      for (const nlohmann::json& id : body.value("run_ids", nlohmann::json::array())) {
        valid = valid && id.is_number_integer();
        if (valid) message.add_run_ids(id.get<int64_t>());
      }
    }
    if (!valid) {
      return Refuse({grpc::StatusCode::INVALID_ARGUMENT,
                     "the body is {\"name\": SWEEP, \"run_ids\": [numbers]}"},
                    response);
    }
    Answer answer;
    if (Call(method, message, &answer, response)) Send(MessageJson(answer), response);
  }
  void Label(const Request& request, Response& response) const {
    v1::LabelSweepRequest label;
    const auto read = google::protobuf::util::JsonStringToMessage(request.body, &label);
    if (!read.ok()) {
      return Refuse({grpc::StatusCode::INVALID_ARGUMENT,
                     absl::StrCat("the body is {\"name\": SWEEP, \"add_tags\": [], "
                                  "\"remove_tags\": [], \"note\": TEXT, \"archived\": true or "
                                  "false}: ",
                                  std::string(read.message()))},
                    response);
    }
    v1::LabelSweepResponse answer;
    if (Call(&Stub::LabelSweep, label, &answer, response)) {
      Send(MessageJson(answer.sweep()), response);
    }
  }
  void Drain(const Request& request, Response& response) const {
    const nlohmann::json body = nlohmann::json::parse(request.body, nullptr, false);
    if (!body.is_object() || !body.contains("host") || !body["host"].is_string() ||
        !body.contains("drained") || !body["drained"].is_boolean()) {
      return Refuse({grpc::StatusCode::INVALID_ARGUMENT,
                     "the body is {\"host\": HOST, \"drained\": true or false, \"reason\": TEXT}"},
                    response);
    }
    v1::SetDrainedRequest drain;
    drain.set_host(body["host"].get<std::string>());
    drain.set_drained(body["drained"].get<bool>());
    if (body.contains("reason") && body["reason"].is_string()) {
      drain.set_reason(body["reason"].get<std::string>());
    }
    v1::SetDrainedResponse answer;
    if (Call(&Stub::SetDrained, drain, &answer, response)) Send("{}", response);
  }

 private:
  bool WholeSweep(const Request& request, v1::SweepChanges* sweep, Response& response) const {
    v1::WatchChangesRequest watch;
    watch.set_name(Name(request));
    grpc::ClientContext context;
    Prepare(context, kShortS);
    const auto reader = stub_.WatchChanges(&context, watch);
    const bool read = reader->Read(sweep);
    if (read) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (!read) Refuse(status, response);
    return read;
  }

  // Numbers that cannot be read are refused by name.
  bool Number(const Request& request, const char* name, double* value, Response& response) const {
    const std::string text = request.get_param_value(name);
    if (text.empty() || absl::SimpleAtod(text, value)) return true;
    Refuse({grpc::StatusCode::INVALID_ARGUMENT, absl::StrCat(name, " is '", text, "': a number")},
           response);
    return false;
  }

  bool ReadCurves(const Request& request, v1::GetCurvesRequest* curves,
                  v1::GetCurvesResponse* answer, Response& response) const {
    double pixels = 0, from = 0, to = 0;
    if (!Number(request, "pixels", &pixels, response) ||
        !Number(request, "from", &from, response) || !Number(request, "to", &to, response)) {
      return false;
    }
    curves->set_sweep(Name(request));
    curves->set_series(request.get_param_value("series"));
    curves->set_x(request.get_param_value("x"));
    curves->set_pixels(pixels >= 0 && pixels < 1e6 ? static_cast<int32_t>(pixels) : -1);
    curves->set_log_x(request.get_param_value("log") == "1");
    curves->set_from_x(from);
    curves->set_to_x(to);
    for (const absl::string_view text :
         absl::StrSplit(request.get_param_value("run"), ',', absl::SkipEmpty())) {
      int64_t run_id = 0;
      if (!absl::SimpleAtoi(text, &run_id)) {
        Refuse({grpc::StatusCode::INVALID_ARGUMENT,
                absl::StrCat("run is '", text, "': numbers of runs, as 1,2")},
               response);
        return false;
      }
      curves->add_run_ids(run_id);
    }
    return Call(&Stub::GetCurves, *curves, answer, response);
  }

  bool ReadRun(const Request& request, v1::GetRunResponse* answer, Response& response) const {
    v1::GetRunRequest run;
    int64_t run_id = 0;
    if (!absl::SimpleAtoi(request.get_param_value("id"), &run_id)) {
      Refuse({grpc::StatusCode::INVALID_ARGUMENT, "id is the number of a run"}, response);
      return false;
    }
    run.set_run_id(run_id);
    run.set_with_log(true);
    return Call(&Stub::GetRun, run, answer, response);
  }
};

}  // namespace

void AddApi(httplib::Server& server, const Options& options, Stub& coordinator) {
  const auto api = std::make_shared<const Api>(options, coordinator);
  const auto get = [&](const char* path, void (Api::*answer)(const Request&, Response&) const) {
    server.Get(absl::StrCat("/api/", path),
               [api, answer](const Request& request, Response& response) {
                 ((*api).*answer)(request, response);
               });
  };
  get("settings", &Api::Settings);
  get("sweeps", &Api::Sweeps);
  get(R"(sweeps\.csv)", &Api::SweepsCsvFile);
  get("sweep", &Api::Sweep);
  get(R"(runs\.csv)", &Api::RunsCsvFile);
  get("changes", &Api::Changes);
  get("curves", &Api::Curves);
  get(R"(curves\.csv)", &Api::CurvesCsvFile);
  get(R"(source\.yaml)", &Api::Source);
  get(R"(export\.csv)", &Api::ExportCsv);
  get("run", &Api::Run);
  get(R"(run\.json)", &Api::RunJson);
  get("workers", &Api::Workers);
  AddFitApi(server, options, coordinator);
  server.Post("/api/cancel", [api](const Request& request, Response& response) {
    api->ChangeRuns(&Stub::CancelSweep, request, response);
  });
  server.Post("/api/retry", [api](const Request& request, Response& response) {
    api->ChangeRuns(&Stub::RetrySweep, request, response);
  });
  server.Post("/api/preempt", [api](const Request& request, Response& response) {
    api->ChangeRuns(&Stub::PreemptSweep, request, response);
  });
  server.Post("/api/label",
              [api](const Request& request, Response& response) { api->Label(request, response); });
  server.Post("/api/drain",
              [api](const Request& request, Response& response) { api->Drain(request, response); });
}

}  // namespace allometry::web
