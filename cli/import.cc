// allo import: runs that were trained elsewhere, as a sweep of the coordinator.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "cli/child.h"
#include "cli/commands.h"
#include "cli/import_request.h"
#include "cli/joined_table.h"
#include "cli/proto_json.h"
#include "cli/scratch_folder.h"
#include "cli/tracked_runs.h"
#include "fitting/data/csv.h"
#include "fitting/report/read_text.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 120;
constexpr size_t kMostRequestBytes = (4 << 20) - (64 << 10);
constexpr size_t kListedExclusions = 10;
constexpr size_t kMostSourceBytes = 500;

struct Arguments {
  std::string name;
  std::vector<std::string> paths;
  fitting::CsvOptions csv;
  std::string flops = "auto";
  std::string table, batch_tokens, dataset, schedule;
  std::vector<std::string> settings;
  bool dry_run = false;
};

// What a format gives: the observations, and where their rows stand.
struct Source {
  fitting::Observations observations;
  fitting::Observations train;
  bool curves = false;
  PlaceOf place;
};

absl::StatusOr<Source> ReadTable(const std::string& file, const fitting::CsvOptions& options) {
  Source source;
  ALLO_ASSIGN_OR_RETURN(source.observations,
                        fitting::ReadCsv(file == "-" ? "/dev/stdin" : file, options));
  source.place = [file](int64_t line) { return absl::StrCat(file, ":", line); };
  return source;
}

std::string LastLine(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  return std::string(text.substr(text.rfind('\n') + 1));
}

absl::StatusOr<Source> ReadTracked(std::vector<TrackedRun> runs, const Arguments& arguments,
                                   const std::string& name) {
  if (!arguments.table.empty()) ALLO_RETURN_IF_ERROR(AddSettings(arguments.table, runs));
  for (const std::string& setting : arguments.settings) {
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrFormat("--set '%s' is not NAME=VALUE, such as params=1.2e8", setting));
    }
    for (TrackedRun& run : runs) {
      run.settings[setting.substr(0, equals)] = setting.substr(equals + 1);
    }
  }
  const std::vector<std::string>& columns = arguments.csv.columns;
  ALLO_ASSIGN_OR_RETURN(const JoinedTable joined,
                        Join(runs, arguments.batch_tokens, columns, LossesOf::kHeldout));
  Source source;
  source.curves = true;
  ALLO_ASSIGN_OR_RETURN(source.observations, fitting::ParseCsv(joined.csv, name, arguments.csv));
  source.place = [places = joined.places](int64_t line) {
    const auto row = static_cast<size_t>(line - 2);
    return row < places.size() ? places[row] : absl::StrCat("row ", line);
  };
  ALLO_ASSIGN_OR_RETURN(const JoinedTable train,
                        Join(runs, arguments.batch_tokens, columns, LossesOf::kTrain));
  if (train.csv.empty()) return source;
  // Training losses are for people to look at: what keeps them from being read is no error.
  fitting::CsvOptions options = arguments.csv;
  options.columns.erase(
      std::remove_if(options.columns.begin(), options.columns.end(),
                     [](const std::string& column) { return absl::StartsWith(column, "loss="); }),
      options.columns.end());
  absl::StatusOr<fitting::Observations> observations = fitting::ParseCsv(train.csv, name, options);
  if (observations.ok()) source.train = *std::move(observations);
  return source;
}

absl::Status OnlyOnePath(const Arguments& arguments) {
  if (arguments.paths.size() == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%d paths are given: one is read", arguments.paths.size()));
}

absl::StatusOr<Source> ReadCsvFormat(const Arguments& arguments) {
  ALLO_RETURN_IF_ERROR(OnlyOnePath(arguments));
  return ReadTable(arguments.paths[0], arguments.csv);
}

absl::StatusOr<Source> ReadWandb(const Arguments& arguments) {
  std::vector<std::string> charts, tables;
  for (const std::string& path : arguments.paths) {
    ALLO_ASSIGN_OR_RETURN(const bool chart, IsWandbChart(path));
    (chart ? charts : tables).push_back(path);
  }
  if (tables.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s are tables of runs: one is read, with charts beside it",
                        absl::StrJoin(tables, " and ")));
  }
  if (charts.empty()) {
    fitting::CsvOptions options = arguments.csv;
    const bool named =
        std::any_of(options.columns.begin(), options.columns.end(),
                    [](const std::string& column) { return absl::StartsWith(column, "run="); });
    if (!named) options.columns.push_back("run=Name");
    return ReadTable(tables[0], options);
  }
  ALLO_ASSIGN_OR_RETURN(std::vector<TrackedRun> runs, ReadWandbCharts(charts));
  if (!tables.empty()) ALLO_RETURN_IF_ERROR(AddSettings(tables[0], runs));
  return ReadTracked(std::move(runs), arguments, absl::StrJoin(charts, ", "));
}

absl::StatusOr<Source> ReadMlflowFormat(const Arguments& arguments) {
  ALLO_RETURN_IF_ERROR(OnlyOnePath(arguments));
  ALLO_ASSIGN_OR_RETURN(std::vector<TrackedRun> runs, ReadMlflow(arguments.paths[0]));
  return ReadTracked(std::move(runs), arguments, arguments.paths[0]);
}

// What `python3 -m allometry.tensorboard FOLDER` prints.
absl::StatusOr<std::string> EventsOf(const std::string& folder) {
  constexpr double kTimeoutS = 1800;
  const char* const named = std::getenv("ALLO_PYTHON");
  const std::string python = named != nullptr && *named != '\0' ? named : "python3";
  ALLO_ASSIGN_OR_RETURN(const auto scratch, ScratchFolder::Make("allo-import"));
  launch::Command command;
  command.arguments = {python, "-m", "allometry.tensorboard", folder};
  ALLO_ASSIGN_OR_RETURN(std::vector<ChildResult> results,
                        RunTogether({command}, scratch->path(), kTimeoutS));
  ChildResult& result = results[0];
  if (result.exit_code == 0) return std::move(result.output);
  return absl::FailedPreconditionError(absl::StrFormat(
      "event files are read by the Python packages allometry and tensorboard (pip install "
      "'./python[tensorboard]'), and '%s -m allometry.tensorboard' %s%s (ALLO_PYTHON names another "
      "Python)",
      python,
      result.timed_out ? absl::StrFormat("was not done in %g s", kTimeoutS)
                       : absl::StrFormat("ended with code %d", result.exit_code),
      result.errors.empty() ? "" : absl::StrCat(": ", LastLine(result.errors))));
}

// A folder of event files is read by the Python package; a file is what that printed.
absl::StatusOr<Source> ReadTensorboard(const Arguments& arguments) {
  ALLO_RETURN_IF_ERROR(OnlyOnePath(arguments));
  const std::string& path = arguments.paths[0];
  std::string text;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    ALLO_ASSIGN_OR_RETURN(text, EventsOf(path));
  } else {
    ALLO_ASSIGN_OR_RETURN(text, ReadFile(path));
  }
  ALLO_ASSIGN_OR_RETURN(std::vector<TrackedRun> runs, ReadEvents(text, path));
  return ReadTracked(std::move(runs), arguments, path);
}

// What of the source is not imported, by reason.
std::vector<std::string> LeftOut(const Source& source) {
  std::vector<std::string> lines;
  for (const fitting::Exclusion& exclusion : source.observations.exclusions()) {
    if (lines.size() == kListedExclusions) break;
    lines.push_back(exclusion.line > 0
                        ? absl::StrCat(source.place(exclusion.line), ": ", exclusion.reason)
                        : absl::StrFormat("%d rows: %s", exclusion.points, exclusion.reason));
  }
  const int64_t listed = static_cast<int64_t>(lines.size());
  if (source.observations.excluded_points() > listed) {
    lines.push_back(
        absl::StrFormat("and %d rows more", source.observations.excluded_points() - listed));
  }
  return lines;
}

using Reader = absl::StatusOr<Source> (*)(const Arguments&);

absl::StatusOr<v1::ImportSweepRequest> MakeRequest(const Arguments& arguments, const char* format,
                                                   const Source& source) {
  ALLO_ASSIGN_OR_RETURN(v1::ImportSweepRequest request,
                        ToImportRequest(source.observations, source.curves, source.place));
  AddTrainLosses(source.train, request);
  request.set_name(arguments.name);
  std::string source_text = absl::StrCat(format, " ", absl::StrJoin(arguments.paths, ", "));
  if (source_text.size() > kMostSourceBytes) {
    source_text = absl::StrFormat("%s, %d files, the first %s", format, arguments.paths.size(),
                                  arguments.paths[0].substr(0, kMostSourceBytes / 2));
  }
  request.set_source(source_text);
  request.set_dataset(arguments.dataset);
  request.set_schedule(arguments.schedule);
  request.set_dry_run(arguments.dry_run);
  for (const std::string& line : LeftOut(source)) request.add_left_out(line);
  if (const size_t bytes = request.ByteSizeLong(); bytes > kMostRequestBytes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s has %d points in %d runs, %d bytes: an import has at most %d bytes, about 250,000 "
        "points; import some of the runs at a time, under one name",
        arguments.paths[0], source.observations.used(), request.runs_size(), bytes,
        kMostRequestBytes));
  }
  return request;
}

int Import(const Context& context, Arguments arguments, const char* format, Reader read) {
  const absl::StatusOr<fitting::FlopsConvention> flops =
      fitting::ParseFlopsConvention(arguments.flops);
  if (!flops.ok()) return Fail(flops.status());
  arguments.csv.flops = *flops;
  const absl::StatusOr<Source> source = read(arguments);
  if (!source.ok()) return Fail(source.status());
  const absl::StatusOr<v1::ImportSweepRequest> request = MakeRequest(arguments, format, *source);
  if (!request.ok()) return Fail(request.status());
  const auto stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::ImportSweepResponse response;
  const grpc::Status status =
      (*stub)->ImportSweep(MakeCall(context, kTimeoutS).get(), *request, &response);
  if (!status.ok()) return Fail(context, status);
  if (context.json) {
    std::cout << ToJson(response).dump(2) << "\n" << std::flush;
    return kExitOk;
  }
  for (const std::string& line : fitting::ReadLines(source->observations.read)) {
    std::cout << line << "\n";
  }
  for (const std::string& note : source->observations.notes()) {
    std::cout << "  note: " << note << "\n";
  }
  for (const std::string& line : request->left_out()) std::cout << "  left out: " << line << "\n";
  if (response.new_points() == 0) {
    std::cout << "sweep " << arguments.name << " has all of this already: nothing to add\n";
  } else {
    std::cout << (arguments.dry_run ? "would add to sweep " : "added to sweep ") << arguments.name
              << ": " << response.new_runs() << " runs, " << response.new_points()
              << " points of curves\n";
  }
  std::cout << std::flush;
  return kExitOk;
}

void AddFormat(CLI::App& parent, Context& context, const char* format, const char* help,
               const char* path_help, bool tracked, Reader read) {
  CLI::App* command = parent.add_subcommand(format, help);
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->name, "name that the sweep gets, or has")->required();
  command->add_option("PATH", arguments->paths, path_help)->required();
  command
      ->add_option("--column", arguments->csv.columns,
                   "which column is N, D, loss, C, run, family or state, as for allo fit: "
                   "loss=eval_nll; C=none reads none. May be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--unit", arguments->csv.units,
                   "N=M, D=B, C=PF-days, loss=bits, as for allo fit")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--decimal", arguments->csv.decimal, "point or comma");
  command->add_option("--flops", arguments->flops, "C: auto, 6nd, data, as for allo fit")
      ->capture_default_str();
  if (tracked) {
    command->add_option("--batch-tokens", arguments->batch_tokens,
                        "tokens of an update, where no series counts them: a number, or the name "
                        "of a setting of the runs");
    command->add_option("--table", arguments->table,
                        "CSV with a column run, and N and other settings of each run");
    command
        ->add_option("--set", arguments->settings,
                     "a setting that all runs have: params=1.2e8. May be repeated")
        ->allow_extra_args(false);
  }
  command->add_option("--schedule", arguments->schedule,
                      "of the learning rate: constant (default: fits read the whole curve), wsd or "
                      "cosine (fits read the end of each run)");
  command->add_option("--dataset", arguments->dataset, "name of the data, for people");
  command->add_flag("--dry-run", arguments->dry_run, "say what would be added, and add nothing");
  command->callback([&context, arguments, format, read] {
    context.run = [&context, arguments, format, read] {
      return Import(context, *arguments, format, read);
    };
  });
}

}  // namespace

void AddImport(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "import",
      "finished runs of other trainers, from files, as a sweep that can be fitted, "
      "predicted and exported (docs/import.md)");
  command->require_subcommand(1);
  AddFormat(*command, context, "csv", "a table: a row for each run or point, as allo fit reads it",
            "the file, or - for standard input", false, ReadCsvFormat);
  AddFormat(*command, context, "wandb-csv",
            "CSV exports of Weights & Biases: the table of runs, and charts", "the files", true,
            ReadWandb);
  AddFormat(*command, context, "mlflow", "an mlruns folder", "the folder", true, ReadMlflowFormat);
  AddFormat(*command, context, "tensorboard",
            "event files, read by the Python packages allometry and tensorboard",
            "the folder of event files, or a CSV that python3 -m allometry.tensorboard printed",
            true, ReadTensorboard);
}

}  // namespace allometry::cli
