#include "coordinator/results/export.h"

#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/results/csv_field.h"
#include "coordinator/results/observations.h"

namespace allometry::coordinator {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
constexpr int kPointsAPage = 2000;

absl::Status ExportObservations(const store::Store& store, const v1::ExportRequest& request,
                                const std::function<bool(std::string)>& write) {
  ObservationChoice choice;
  choice.series = request.series();
  choice.allow_repeat = request.allow_repeat();
  ALLO_ASSIGN_OR_RETURN(const GatheredObservations gathered,
                        GatherObservations(store, request.sweep(), choice));
  std::string piece = ObservationsCsvHeader(gathered);
  for (size_t i = 0; i < gathered.rows.size(); ++i) {
    piece += ObservationsCsvRow(gathered, i);
    if (piece.size() >= kPieceBytes && !write(std::exchange(piece, ""))) return absl::OkStatus();
  }
  if (!piece.empty()) write(std::move(piece));
  return absl::OkStatus();
}

absl::Status ExportPoints(const store::Store& store, const v1::ExportRequest& request,
                          const std::function<bool(std::string)>& write) {
  ALLO_RETURN_IF_ERROR(store.GetSweep(request.sweep()).status());  // NotFound before any line
  std::string piece = "run_id,size,series,step,tokens,value,attempt\n";
  store::PointKey after;
  for (;;) {
    ALLO_ASSIGN_OR_RETURN(
        const std::vector<store::ExportedPoint> points,
        store.ExportPoints(request.sweep(), request.series(), after, kPointsAPage));
    for (const store::ExportedPoint& row : points) {
      const store::CurvePoint& point = row.point;
      absl::StrAppend(&piece, row.key.run_id, ",", CsvField(row.size), ",", CsvField(row.series),
                      ",", point.step, ",", point.tokens, ",",
                      point.value.has_value() ? absl::StrFormat("%.17g", *point.value) : "", ",",
                      point.attempt, "\n");
    }
    if (!piece.empty() && !write(std::exchange(piece, ""))) return absl::OkStatus();
    if (points.size() < kPointsAPage) return absl::OkStatus();
    after = points.back().key;
  }
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
