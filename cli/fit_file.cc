#include "cli/fit_file.h"

#include <cstdio>

#include "base/files.h"
#include "fitting/data/csv.h"
#include "fitting/report/fit.h"

namespace allometry::cli {
namespace {

constexpr int kOk = 0, kFailed = 1, kBadInput = 2;

int Complain(const absl::Status& status, int code) {
  const std::string message(status.message());
  std::fprintf(stderr, "allo fit: %s\n", message.c_str());
  return code;
}

}  // namespace

int RunFitFile(const FitFileArguments& arguments) {
  if (const absl::Status valid = fitting::Validate(arguments.options); !valid.ok()) {
    return Complain(valid, kBadInput);
  }
  const absl::StatusOr<fitting::Observations> observations =
      fitting::ReadCsv(arguments.path == "-" ? "/dev/stdin" : arguments.path);
  if (!observations.ok()) return Complain(observations.status(), kBadInput);
  const absl::StatusOr<fitting::FitReport> report = fitting::Fit(*observations, arguments.options);
  if (!report.ok()) return Complain(report.status(), kBadInput);
  const std::string text = arguments.json ? ReportJson(*report) : ReportText(*report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return Complain(ErrnoStatus("standard output", "cannot write"), kFailed);
  }
  if (!arguments.svg.empty()) {
    const absl::Status written = WriteFileAtomically(arguments.svg, ReportSvg(*report));
    if (!written.ok()) return Complain(written, kFailed);
  }
  return kOk;
}

}  // namespace allometry::cli
