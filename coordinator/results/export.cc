#include "coordinator/results/export.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/results/csv_field.h"
#include "coordinator/results/observations.h"

namespace allometry::coordinator {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
constexpr int kPointsAPage = 2000;

// The runs that are asked for, ascending, each once; none: all.
absl::StatusOr<std::vector<int64_t>> AskedRuns(const store::Store& store,
                                               const v1::ExportRequest& request) {
  const std::set<int64_t> asked(request.run_ids().begin(), request.run_ids().end());
  std::vector<int64_t> run_ids(asked.begin(), asked.end());
  ALLO_ASSIGN_OR_RETURN(const store::StoredSweep sweep,
                        store.GetRunsOf(request.sweep(), run_ids));  // NotFound before any line
  std::set<int64_t> others = asked;
  for (const v1::Run& run : sweep.runs) others.erase(run.run_id());
  if (others.empty()) return run_ids;
  return absl::NotFoundError(absl::StrFormat("sweep '%s' has no run %d; 'allo runs %s' lists them",
                                             request.sweep(), *others.begin(), request.sweep()));
}

absl::Status ExportObservations(const store::Store& store, const v1::ExportRequest& request,
                                const std::function<bool(std::string)>& write) {
  ObservationChoice choice;
  choice.series = request.series();
  choice.allow_repeat = request.allow_repeat();
  ALLO_ASSIGN_OR_RETURN(const GatheredObservations gathered,
                        GatherObservations(store, request.sweep(), choice));
  ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> asked, AskedRuns(store, request));
  std::string piece = ObservationsCsvHeader(gathered);
  for (size_t i = 0; i < gathered.rows.size(); ++i) {
    const int64_t run_id = gathered.rows[i].run_id;
    if (!asked.empty() && !std::binary_search(asked.begin(), asked.end(), run_id)) continue;
    piece += ObservationsCsvRow(gathered, i);
    if (piece.size() >= kPieceBytes && !write(std::exchange(piece, ""))) return absl::OkStatus();
  }
  if (!piece.empty()) write(std::move(piece));
  return absl::OkStatus();
}

// The points of one run, or of all for run_id 0, after what `piece` has. False: nobody takes more.
absl::StatusOr<bool> WritePoints(const store::Store& store, const v1::ExportRequest& request,
                                 int64_t run_id, std::string& piece,
                                 const std::function<bool(std::string)>& write) {
  // Before the first point of the run.
  store::PointKey after = {.run_id = run_id};
  for (;;) {
    ALLO_ASSIGN_OR_RETURN(
        const std::vector<store::ExportedPoint> points,
        store.ExportPoints(request.sweep(), request.series(), after, kPointsAPage));
    for (const store::ExportedPoint& row : points) {
      if (run_id != 0 && row.key.run_id != run_id) return true;
      const store::CurvePoint& point = row.point;
      absl::StrAppend(&piece, row.key.run_id, ",", CsvField(row.size), ",", CsvField(row.series),
                      ",", point.step, ",", point.tokens, ",",
                      point.value.has_value() ? absl::StrFormat("%.17g", *point.value) : "", ",",
                      point.attempt, "\n");
    }
    if (piece.size() >= kPieceBytes && !write(std::exchange(piece, ""))) return false;
    if (points.size() < kPointsAPage) return true;
    after = points.back().key;
  }
}

absl::Status ExportPoints(const store::Store& store, const v1::ExportRequest& request,
                          const std::function<bool(std::string)>& write) {
  ALLO_ASSIGN_OR_RETURN(std::vector<int64_t> asked, AskedRuns(store, request));
  if (asked.empty()) asked.push_back(0);
  std::string piece = "run_id,size,series,step,tokens,value,attempt\n";
  for (const int64_t run_id : asked) {
    ALLO_ASSIGN_OR_RETURN(const bool more, WritePoints(store, request, run_id, piece, write));
    if (!more) return absl::OkStatus();
  }
  if (!piece.empty()) write(std::move(piece));
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportSweep(const store::Store& store, const v1::ExportRequest& request,
                         const std::function<bool(std::string)>& write) {
  if (request.what().empty() || request.what() == "observations") {
    return ExportObservations(store, request, write);
  }
  if (request.what() == "points") return ExportPoints(store, request, write);
  return absl::InvalidArgumentError(
      absl::StrFormat("cannot export '%s': observations and points are allowed", request.what()));
}

}  // namespace allometry::coordinator
