#include "web/page_json.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "web/json_text.h"

namespace allometry::web {
namespace {

std::string CsvText(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string Number(double value) {
  std::string text;
  AppendNumber(text, value);
  return text == "null" ? "" : text;
}

// "RUN_SUCCEEDED" and "PENDING" as the command line says them.
std::string StateWord(v1::RunState state) {
  switch (state) {
    case v1::PENDING:
      return "waiting";
    case v1::LEASED:
      return "running";
    case v1::RUN_SUCCEEDED:
      return "done";
    case v1::RUN_FAILED:
      return "failed";
    case v1::RUN_CANCELLED:
      return "cancelled";
    default:
      return "";
  }
}

std::string FailureWord(v1::ExitReason reason) {
  return reason == v1::EXIT_REASON_UNSPECIFIED ? "" : v1::ExitReason_Name(reason);
}

void AppendOptional(std::string& json, bool is_set, double value) {
  if (is_set) {
    AppendNumber(json, value);
  } else {
    json += "null";
  }
}

void AppendRuns(std::string& json, const v1::SweepChanges& changes) {
  const auto& runs = changes.runs();
  const auto integers = [&](absl::string_view name, auto field) {
    AppendColumn(json, name, runs, [&](std::string& out, const v1::RunSummary& run) {
      AppendNumber(out, int64_t{(run.*field)()});
    });
    json += ',';
  };
  const auto reals = [&](absl::string_view name, auto field) {
    AppendColumn(json, name, runs, [&](std::string& out, const v1::RunSummary& run) {
      AppendNumber(out, (run.*field)());
    });
    json += ',';
  };
  const auto optionals = [&](absl::string_view name, auto has, auto field) {
    AppendColumn(json, name, runs, [&](std::string& out, const v1::RunSummary& run) {
      AppendOptional(out, (run.*has)(), (run.*field)());
    });
    json += ',';
  };
  const auto texts = [&](absl::string_view name, auto text) {
    AppendColumn(json, name, runs,
                 [&](std::string& out, const v1::RunSummary& run) { AppendText(out, text(run)); });
  };
  using Summary = v1::RunSummary;
  json += '{';
  integers("run_id", &Summary::run_id);
  integers("params", &Summary::params);
  integers("seed", &Summary::seed);
  integers("attempt", &Summary::attempt);
  integers("step", &Summary::step);
  integers("first_step", &Summary::first_step);
  integers("steps", &Summary::steps);
  integers("batch_tokens", &Summary::batch_tokens);
  reals("learning_rate", &Summary::learning_rate);
  reals("flops_per_token", &Summary::flops_per_token);
  reals("device_seconds", &Summary::device_seconds);
  optionals("train_loss", &Summary::has_train_loss, &Summary::train_loss);
  optionals("heldout_loss", &Summary::has_heldout_loss, &Summary::heldout_loss);
  optionals("tokens_per_second", &Summary::has_tokens_per_second, &Summary::tokens_per_second);
  texts("size", [](const Summary& run) { return run.size(); });
  json += ',';
  texts("stage", [](const Summary& run) { return run.stage(); });
  json += ',';
  texts("state", [](const Summary& run) { return StateWord(run.state()); });
  json += ',';
  texts("failure", [](const Summary& run) { return FailureWord(run.failure()); });
  json += ',';
  texts("reason", [](const Summary& run) { return run.reason(); });
  json += ',';
  texts("host", [](const Summary& run) { return run.host(); });
  json += '}';
}

void AppendCells(std::string& json, const v1::SweepChanges& changes) {
  const auto& cells = changes.cells();
  json += '{';
  AppendColumn(json, "cell_id", cells, [](std::string& out, const v1::Cell& cell) {
    AppendNumber(out, int64_t{cell.cell_id()});
  });
  json += ',';
  AppendColumn(json, "run_id", cells, [](std::string& out, const v1::Cell& cell) {
    AppendNumber(out, int64_t{cell.run_id()});
  });
  json += ',';
  AppendColumn(json, "tokens", cells, [](std::string& out, const v1::Cell& cell) {
    AppendNumber(out, int64_t{cell.tokens()});
  });
  json += ',';
  AppendColumn(json, "step", cells, [](std::string& out, const v1::Cell& cell) {
    AppendNumber(out, int64_t{cell.step()});
  });
  json += ',';
  AppendColumn(json, "asked", cells, [](std::string& out, const v1::Cell& cell) {
    AppendNumber(out, cell.asked_flops() > 0 ? cell.asked_flops() : cell.asked_tokens());
  });
  json += ',';
  AppendColumn(json, "asked_flops", cells, [](std::string& out, const v1::Cell& cell) {
    out += cell.asked_flops() > 0 ? "true" : "false";
  });
  json += ',';
  AppendColumn(json, "flops", cells,
               [](std::string& out, const v1::Cell& cell) { AppendNumber(out, cell.flops()); });
  json += ',';
  AppendColumn(json, "loss", cells, [](std::string& out, const v1::Cell& cell) {
    AppendOptional(out, cell.done(), cell.loss());
  });
  json += ',';
  AppendColumn(json, "stage", cells,
               [](std::string& out, const v1::Cell& cell) { AppendText(out, cell.stage()); });
  json += '}';
}

}  // namespace

std::string ChangesJson(const v1::SweepChanges& changes) {
  std::string json = "{\"revision\":";
  AppendText(json, changes.revision());
  absl::StrAppend(&json, ",\"whole\":", changes.whole() ? "true" : "false",
                  ",\"sweep\":", MessageJson(changes.sweep()), ",\"flops_done\":");
  AppendNumber(json, changes.flops_done());
  json += ",\"flops_total\":";
  AppendNumber(json, changes.flops_total());
  json += ",\"eta_s\":";
  AppendOptional(json, changes.eta_s() >= 0, changes.eta_s());
  json += ",\"runs\":";
  AppendRuns(json, changes);
  json += ",\"cells\":";
  AppendCells(json, changes);
  json += '}';
  return json;
}

std::string CurvesJson(const v1::GetCurvesResponse& response) {
  const auto number = [](std::string& out, auto value) { AppendNumber(out, value); };
  const auto integer = [](std::string& out, int64_t value) { AppendNumber(out, value); };
  std::string json = "{\"curves\":[";
  bool first = true;
  for (const v1::Curve& curve : response.curves()) {
    absl::StrAppend(&json, first ? "" : ",", "{\"run_id\":", curve.run_id(), ",\"size\":");
    first = false;
    AppendText(json, curve.size());
    absl::StrAppend(&json, ",\"params\":", curve.params(), ",\"seed\":", curve.seed(),
                    ",\"points\":", curve.points(), ",\"learning_rate\":");
    AppendNumber(json, curve.learning_rate());
    json += ",\"stage\":";
    AppendText(json, curve.stage());
    json += ",\"state\":";
    AppendText(json, StateWord(curve.state()));
    json += ',';
    AppendColumn(json, "x", curve.x(), number);
    json += ',';
    AppendColumn(json, "y", curve.y(), number);
    json += '}';
  }
  json += "],\"frontier\":{";
  AppendColumn(json, "x", response.frontier_x(), number);
  json += ',';
  AppendColumn(json, "y", response.frontier_y(), number);
  json += ',';
  AppendColumn(json, "run_id", response.frontier_run_id(), integer);
  json += "},";
  AppendColumn(json, "series", response.series(),
               [](std::string& out, const std::string& name) { AppendText(out, name); });
  json += '}';
  return json;
}

std::string RunsCsv(const v1::SweepChanges& sweep) {
  std::string csv =
      "run_id,size,params,seed,learning_rate,stage,state,failure,attempt,step,steps,tokens,flops,"
      "train_loss,heldout_loss,tokens_per_second,device_seconds,host,reason\n";
  for (const v1::RunSummary& run : sweep.runs()) {
    const double tokens = static_cast<double>(run.step()) * static_cast<double>(run.batch_tokens());
    absl::StrAppend(&csv, run.run_id(), ",", CsvText(run.size()), ",", run.params(), ",",
                    run.seed(), ",", Number(run.learning_rate()), ",", run.stage(), ",",
                    StateWord(run.state()), ",");
    absl::StrAppend(&csv, FailureWord(run.failure()), ",", run.attempt(), ",", run.step(), ",",
                    run.steps(), ",", Number(tokens), ",", Number(tokens * run.flops_per_token()),
                    ",", run.has_train_loss() ? Number(run.train_loss()) : "", ",",
                    run.has_heldout_loss() ? Number(run.heldout_loss()) : "", ",",
                    run.has_tokens_per_second() ? Number(run.tokens_per_second()) : "", ",",
                    Number(run.device_seconds()), ",", CsvText(run.host()), ",",
                    CsvText(run.reason()), "\n");
  }
  return csv;
}

std::string CurvesCsv(const v1::GetCurvesResponse& curves, const std::string& x_name,
                      const std::string& series) {
  std::string csv =
      absl::StrCat("run_id,size,params,seed,", CsvText(x_name), ",", CsvText(series), "\n");
  for (const v1::Curve& curve : curves.curves()) {
    const std::string run = absl::StrCat(curve.run_id(), ",", CsvText(curve.size()), ",",
                                         curve.params(), ",", curve.seed(), ",");
    for (int i = 0; i < curve.x_size(); ++i) {
      absl::StrAppend(&csv, run, Number(curve.x(i)), ",", Number(curve.y(i)), "\n");
    }
  }
  return csv;
}

std::string SweepsCsv(const v1::ListSweepsResponse& sweeps) {
  std::string csv =
      "sweep,dataset,created_unix_s,cells,cells_done,runs,runs_succeeded,runs_running,runs_failed,"
      "runs_cancelled,device_seconds\n";
  for (const v1::Sweep& sweep : sweeps.sweeps()) {
    absl::StrAppend(&csv, CsvText(sweep.name()), ",", CsvText(sweep.dataset()), ",",
                    sweep.created_unix_us() / 1'000'000, ",", sweep.cells(), ",",
                    sweep.cells_done(), ",", sweep.runs(), ",");
    absl::StrAppend(&csv, sweep.runs_succeeded(), ",", sweep.runs_leased(), ",",
                    sweep.runs_failed(), ",", sweep.runs_cancelled(), ",",
                    Number(sweep.device_seconds()), "\n");
  }
  return csv;
}

}  // namespace allometry::web
