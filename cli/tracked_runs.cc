#include "cli/tracked_runs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "fitting/data/header.h"
#include "fitting/data/records.h"
#include "fitting/data/text_lines.h"

namespace allometry::cli {
namespace {

namespace fs = std::filesystem;
using fitting::MatchHeader;
using fitting::Role;

constexpr int64_t kMostRuns = 10'000;
constexpr int64_t kMostValues = 5'000'000;

absl::Status Refuse(absl::string_view file, int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", file, line, what));
}

// "nan", "inf" and "Infinity" are numbers: a run that diverged has them.
absl::StatusOr<double> Number(absl::string_view text, absl::string_view file, int64_t line) {
  double value = 0;
  if (absl::SimpleAtod(absl::StripAsciiWhitespace(text), &value)) return value;
  return Refuse(file, line, absl::StrFormat("'%s' is no number", std::string(text.substr(0, 40))));
}

absl::StatusOr<int64_t> Step(absl::string_view text, absl::string_view file, int64_t line) {
  ALLO_ASSIGN_OR_RETURN(const double value, Number(text, file, line));
  if (value >= 0 && value < 9e15 && value == std::floor(value)) return static_cast<int64_t>(value);
  return Refuse(file, line,
                absl::StrFormat("step '%s' is no whole number of 0 or more",
                                std::string(text.substr(0, 40))));
}

struct Row {
  int64_t line = 0;
  std::vector<std::string> fields;
};

// The rows of a CSV that a tracker wrote, the header first.
absl::StatusOr<std::vector<Row>> ReadRows(const std::string& text, const std::string& file) {
  fitting::TextLines lines(text, file);
  ALLO_RETURN_IF_ERROR(lines.Open(1 << 20));
  fitting::Records records(lines, fitting::Separator::kComma);
  std::vector<Row> rows;
  while (true) {
    if (!rows.empty()) records.Expect(rows.front().fields.size());
    ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
    if (!more) break;
    Row row{records.line(), {records.fields().begin(), records.fields().end()}};
    if (!rows.empty() && row.fields.size() != rows.front().fields.size()) {
      return Refuse(file, row.line,
                    absl::StrFormat("%d fields where the header has %d", row.fields.size(),
                                    rows.front().fields.size()));
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": the file is empty"));
  return rows;
}

TrackedRun& RunOf(std::vector<TrackedRun>& runs, std::map<std::string, size_t>& index,
                  const std::string& name) {
  const auto [found, added] = index.try_emplace(name, runs.size());
  if (added) runs.push_back({name, {}, {}});
  return runs[found->second];
}

absl::Status CheckAmount(const std::vector<TrackedRun>& runs, int64_t values,
                         absl::string_view where) {
  if (runs.empty() || values == 0) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": there is no run with values"));
  }
  if (static_cast<int64_t>(runs.size()) > kMostRuns || values > kMostValues) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d runs with %d values: at most %d and %d are read at once", where,
                        runs.size(), values, kMostRuns, kMostValues));
  }
  return absl::OkStatus();
}

bool IsChart(const Row& header) {
  return header.fields.size() >= 2 &&
         std::all_of(header.fields.begin() + 1, header.fields.end(),
                     [](const std::string& field) { return absl::StrContains(field, " - "); });
}

absl::Status ReadChart(const std::string& file, std::vector<TrackedRun>& runs,
                       std::map<std::string, size_t>& index, int64_t& values) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  ALLO_ASSIGN_OR_RETURN(const std::vector<Row> rows, ReadRows(text, file));
  const std::vector<std::string>& header = rows.front().fields;
  const std::string& x_axis = header.front();
  const bool by_tokens = MatchHeader(x_axis).role == Role::kTokens;
  if (!by_tokens && !fitting::LooksLikeSteps(x_axis)) {
    return Refuse(
        file, 1,
        absl::StrFormat("the x axis is '%s': a chart over steps or tokens is needed", x_axis));
  }
  std::set<std::string> seen;
  for (size_t c = 1; c < header.size(); ++c) {
    // The range of a smoothed or grouped line.
    if (absl::EndsWith(header[c], "__MIN") || absl::EndsWith(header[c], "__MAX")) continue;
    const size_t cut = header[c].rfind(" - ");
    const std::string name = header[c].substr(0, cut), metric = header[c].substr(cut + 3);
    // W&B adds the run's own step beside the chart's.
    if (metric == "_step") continue;
    if (!seen.insert(header[c]).second) {
      return Refuse(
          file, 1,
          absl::StrFormat("two columns are called '%s': give the runs different names", header[c]));
    }
    TrackedRun& run = RunOf(runs, index, name);
    for (size_t r = 1; r < rows.size(); ++r) {
      const std::string& field = rows[r].fields[c];
      if (field.empty()) continue;
      ALLO_ASSIGN_OR_RETURN(const double value, Number(field, file, rows[r].line));
      ALLO_ASSIGN_OR_RETURN(const double x, Number(rows[r].fields[0], file, rows[r].line));
      int64_t step = std::llround(x);
      if (by_tokens) {
        run.series[x_axis][step] = x;
      } else {
        ALLO_ASSIGN_OR_RETURN(step, Step(rows[r].fields[0], file, rows[r].line));
      }
      run.series[metric][step] = value;
      ++values;
    }
  }
  return absl::OkStatus();
}

// "name: 'a run'" of a file that MLflow wrote: plain lines.
std::map<std::string, std::string> PlainYaml(const std::string& text) {
  std::map<std::string, std::string> fields;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || line.front() == ' ') continue;
    absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
    for (const char quote : {'\'', '"'}) {
      if (value.size() >= 2 && value.front() == quote && value.back() == quote) {
        value = value.substr(1, value.size() - 2);
      }
    }
    fields[std::string(line.substr(0, colon))] = std::string(value);
  }
  return fields;
}

// The regular files below a folder by their path inside it.
std::map<std::string, std::string> FilesBelow(const fs::path& folder) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(folder, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file(error)) {
      files[entry->path().lexically_relative(folder).string()] = entry->path().string();
    }
  }
  return files;
}

std::string MlflowState(const std::string& status) {
  // RunStatus of MLflow's protocol.
  constexpr std::pair<const char*, const char*> kStates[] = {
      {"1", "running"}, {"2", "scheduled"}, {"3", "finished"}, {"4", "failed"}, {"5", "killed"}};
  for (const auto& [number, word] : kStates) {
    if (status == number) return word;
  }
  return absl::AsciiStrToLower(status);
}

absl::Status ReadMlflowMetric(const std::string& file, std::map<int64_t, double>& series,
                              int64_t& values) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  int64_t line_number = 0, lines = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (parts.size() < 2) {
      return Refuse(file, line_number,
                    absl::StrFormat("'%s' is not a time, a value and a step",
                                    std::string(line.substr(0, 60))));
    }
    ALLO_ASSIGN_OR_RETURN(const double value, Number(parts[1], file, line_number));
    int64_t step = 0;
    if (parts.size() > 2) {
      ALLO_ASSIGN_OR_RETURN(step, Step(parts[2], file, line_number));
    }
    series[step] = value;  // of a step that was logged again the later
    ++lines;
  }
  if (lines > 1 && series.size() == 1) {
    return Refuse(file, line_number - 1,
                  absl::StrFormat("%d values, all of step %d: the metric was logged without steps",
                                  lines, series.begin()->first));
  }
  values += lines;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TrackedRun>> ReadMlflowRun(const fs::path& folder, int64_t& values) {
  ALLO_ASSIGN_OR_RETURN(const std::string meta, ReadFile((folder / "meta.yaml").string()));
  std::map<std::string, std::string> fields = PlainYaml(meta);
  if (fields["lifecycle_stage"] == "deleted") return std::optional<TrackedRun>();
  TrackedRun run;
  run.name = fields["run_name"];
  if (run.name.empty()) {
    const auto tag = ReadFile((folder / "tags" / "mlflow.runName").string());
    run.name = tag.ok() && !tag->empty() ? *tag : folder.filename().string();
  }
  run.settings["state"] = MlflowState(fields["status"]);
  for (const auto& [name, path] : FilesBelow(folder / "params")) {
    ALLO_ASSIGN_OR_RETURN(const std::string value, ReadFile(path));
    run.settings[name] = std::string(absl::StripAsciiWhitespace(value));
  }
  for (const auto& [name, path] : FilesBelow(folder / "metrics")) {
    ALLO_RETURN_IF_ERROR(ReadMlflowMetric(path, run.series[name], values));
  }
  return std::optional(std::move(run));
}

}  // namespace

absl::StatusOr<bool> IsWandbChart(const std::string& file) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  fitting::TextLines lines(text, file);
  ALLO_RETURN_IF_ERROR(lines.Open(1 << 20));
  fitting::Records records(lines, fitting::Separator::kComma);
  ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
  return more && IsChart({1, {records.fields().begin(), records.fields().end()}});
}

absl::StatusOr<std::vector<TrackedRun>> ReadWandbCharts(const std::vector<std::string>& files) {
  std::vector<TrackedRun> runs;
  std::map<std::string, size_t> index;
  int64_t values = 0;
  for (const std::string& file : files) {
    ALLO_RETURN_IF_ERROR(ReadChart(file, runs, index, values));
  }
  ALLO_RETURN_IF_ERROR(CheckAmount(runs, values, absl::StrJoin(files, ", ")));
  return runs;
}

absl::StatusOr<std::vector<TrackedRun>> ReadMlflow(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat(folder, ": there is no such folder"));
  }
  std::vector<fs::path> found;
  for (const auto& [name, path] : FilesBelow(folder)) {
    const fs::path run = fs::path(path).parent_path();
    if (fs::path(path).filename() != "meta.yaml" || absl::StartsWith(name, ".trash/")) continue;
    if (fs::is_directory(run / "metrics", error)) found.push_back(run);
  }
  std::vector<TrackedRun> runs;
  std::map<std::string, std::string> names;
  int64_t values = 0;
  for (const fs::path& path : found) {
    ALLO_ASSIGN_OR_RETURN(std::optional<TrackedRun> run, ReadMlflowRun(path, values));
    if (!run) continue;
    if (!names.emplace(run->name, path.string()).second) {
      run->name = absl::StrCat(run->name, " ", path.filename().string());
    }
    runs.push_back(*std::move(run));
  }
  ALLO_RETURN_IF_ERROR(CheckAmount(
      runs, values,
      absl::StrCat(folder, " (runs are folders with meta.yaml and metrics/, as in mlruns)")));
  return runs;
}

absl::StatusOr<std::vector<TrackedRun>> ReadEvents(const std::string& text,
                                                   const std::string& name) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<Row> rows, ReadRows(text, name));
  const std::vector<std::string> wanted = {"run", "series", "step", "value"};
  if (rows.front().fields != wanted) {
    return Refuse(name, 1,
                  "the columns are not run,series,step,value: it is the folder of event files that "
                  "is read, or what 'python3 -m allometry.tensorboard LOGDIR' prints");
  }
  std::vector<TrackedRun> runs;
  std::map<std::string, size_t> index;
  for (size_t r = 1; r < rows.size(); ++r) {
    const auto& [line, fields] = rows[r];
    ALLO_ASSIGN_OR_RETURN(const int64_t step, Step(fields[2], name, line));
    ALLO_ASSIGN_OR_RETURN(const double value, Number(fields[3], name, line));
    RunOf(runs, index, fields[0]).series[fields[1]][step] = value;
  }
  ALLO_RETURN_IF_ERROR(CheckAmount(runs, static_cast<int64_t>(rows.size()) - 1, name));
  return runs;
}

absl::Status AddSettings(const std::string& file, std::vector<TrackedRun>& runs) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  ALLO_ASSIGN_OR_RETURN(const std::vector<Row> rows, ReadRows(text, file));
  const std::vector<std::string>& header = rows.front().fields;
  const auto by = std::find_if(header.begin(), header.end(), [](const std::string& field) {
    return field == "run" || field == "Name" || field == "name" || field == "run_name";
  });
  if (by == header.end()) {
    return Refuse(file, rows.front().line, "there is no column run, run_name or Name");
  }
  std::map<std::string, const Row*> by_name;
  for (size_t r = 1; r < rows.size(); ++r) {
    const std::string& name = rows[r].fields[by - header.begin()];
    const auto [found, added] = by_name.emplace(name, &rows[r]);
    if (!added) {
      return Refuse(
          file, rows[r].line,
          absl::StrFormat("run '%s' is there twice, first on line %d", name, found->second->line));
    }
  }
  for (TrackedRun& run : runs) {
    const auto found = by_name.find(run.name);
    if (found == by_name.end()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: it has no row for run '%s'", file, run.name));
    }
    for (size_t c = 0; c < header.size(); ++c) run.settings[header[c]] = found->second->fields[c];
  }
  return absl::OkStatus();
}

}  // namespace allometry::cli
