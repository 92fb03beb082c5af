#include "cli/fit_file.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/foreign_text.h"
#include "cli/ticker.h"
#include "figures/fit_figure.h"
#include "fitting/data/csv.h"
#include "fitting/report/fit.h"
#include "fitting/report/groups.h"

namespace allometry::cli {
namespace {

constexpr int kOk = 0, kFailed = 1, kBadInput = 2;

int Complain(const absl::Status& status, int code) {
  const std::string message = Printable(status.message());
  std::fprintf(stderr, "allo fit: %s\n", message.c_str());
  return code;
}

// The names in a table are those of the file; JSON escapes by itself.
int Print(const std::string& report, bool json) {
  const std::string text = json ? report : Printable(report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return Complain(ErrnoStatus("standard output", "cannot write"), kFailed);
  }
  return kOk;
}

int FitGroups(const FitFileArguments& arguments, std::vector<fitting::Observations> groups,
              Ticker& ticker) {
  if (arguments.figure.any()) {
    return Complain(absl::InvalidArgumentError(
                        "--svg, --pdf and --html draw one fit, and --group makes several"),
                    kBadInput);
  }
  if (arguments.table) {
    return Complain(absl::InvalidArgumentError("--table is of one fit, and --group makes several"),
                    kBadInput);
  }
  std::vector<fitting::GroupFit> fits;
  for (size_t k = 0; k < groups.size(); ++k) {
    const std::string name = groups[k].read.group;
    ticker.Doing(absl::StrFormat("fitting group %s, %d of %d, %d points", name, k + 1,
                                 groups.size(), groups[k].used()));
    absl::StatusOr<fitting::FitReport> report = fitting::Fit(groups[k], arguments.options);
    if (!report.ok()) return Complain(report.status(), kBadInput);
    fits.push_back({name, *std::move(report)});
  }
  return Print(arguments.json ? GroupsJson(arguments.csv.group, fits)
                              : GroupsText(arguments.csv.group, fits),
               arguments.json);
}

}  // namespace

int RunFitFile(const FitFileArguments& arguments) {
  if (const absl::Status valid = fitting::Validate(arguments.options); !valid.ok()) {
    return Complain(valid, kBadInput);
  }
  const std::vector<std::string> inputs = {arguments.path};
  if (const absl::Status may = CheckFigureFiles(arguments.figure, inputs); !may.ok()) {
    return Complain(may, kBadInput);
  }
  const std::string path = arguments.path == "-" ? "/dev/stdin" : arguments.path;
  Ticker ticker("allo fit", "reading " + arguments.path);
  fitting::CsvOptions csv = arguments.csv;
  csv.flops = arguments.options.flops;
  csv.progress = [&](int64_t bytes, int64_t rows) {
    ticker.Doing(absl::StrFormat("reading %s, %d MB, %d rows", arguments.path, bytes >> 20, rows));
  };
  absl::StatusOr<std::vector<fitting::Observations>> groups = fitting::ReadCsvGroups(path, csv);
  if (!groups.ok()) return Complain(groups.status(), kBadInput);
  if (!csv.group.empty()) return FitGroups(arguments, *std::move(groups), ticker);
  const fitting::Observations& observations = groups->front();
  ticker.Doing(absl::StrFormat("fitting %d points of %s", observations.used(), arguments.path));
  const absl::StatusOr<fitting::FitReport> report = fitting::Fit(observations, arguments.options);
  if (!report.ok()) return Complain(report.status(), kBadInput);
  const std::string text =
      arguments.table  ? AnswerTable(nlohmann::json::parse(ReportJson(*report)), *arguments.table)
      : arguments.json ? ReportJson(*report)
                       : ReportText(*report);
  if (const int code = Print(text, arguments.json && !arguments.table); code != kOk) {
    return code;
  }
  if (!arguments.figure.any()) return kOk;
  const std::string name = std::filesystem::path(arguments.path).filename().string();
  const figures::Drawing drawing =
      figures::DrawFit(*report, arguments.path == "-" ? "standard input" : name);
  const absl::Status written = WriteFigureFiles(
      arguments.figure, {name, ReportText(*report), ToSvg(drawing), ToPdf(drawing)}, inputs);
  return written.ok() ? kOk : Complain(written, kFailed);
}

}  // namespace allometry::cli
