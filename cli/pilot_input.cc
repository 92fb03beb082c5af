#include "cli/pilot_input.h"

#include "absl/strings/match.h"
#include "base/files.h"
#include "cli/sweep_observations.h"
#include "fitting/data/csv.h"

namespace allometry::cli {

absl::StatusOr<fitting::Pilot> ReadPilot(const Context& context, const std::string& pilot) {
  if (pilot.empty()) return fitting::DefaultPilot();
  if (absl::EndsWith(pilot, ".csv")) {
    ALLO_ASSIGN_OR_RETURN(const fitting::Observations points, fitting::ReadCsv(pilot));
    return fitting::PilotFromObservations(points, pilot);
  }
  if (absl::EndsWith(pilot, ".json")) {
    ALLO_ASSIGN_OR_RETURN(const std::string report, ReadFile(pilot));
    return fitting::PilotFromReport(report, pilot);
  }
  grpc::Status why;
  const absl::StatusOr<fitting::Observations> points = SweepObservations(context, pilot, &why);
  if (!why.ok()) {
    return absl::NotFoundError(
        absl::StrCat("--pilot ", pilot, ": no such file of .csv or .json, and as a sweep of the ",
                     "coordinator at ", context.coordinator, ": ", why.error_message()));
  }
  ALLO_RETURN_IF_ERROR(points.status());
  return fitting::PilotFromObservations(*points, pilot);
}

}  // namespace allometry::cli
