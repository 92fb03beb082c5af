#include "cli/pilot_input.h"

#include "absl/strings/match.h"
#include "base/files.h"
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
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<v1::ClientService::Stub> stub, Connect(context));
  v1::ExportRequest request;
  request.set_sweep(pilot);
  request.set_what("observations");
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 60);
  const std::unique_ptr<grpc::ClientReader<v1::ExportResponse>> reader =
      stub->Export(call.get(), request);
  std::string csv;
  v1::ExportResponse piece;
  while (reader->Read(&piece)) csv += piece.csv();
  const grpc::Status status = reader->Finish();
  if (!status.ok()) {
    return absl::NotFoundError(
        absl::StrCat("--pilot ", pilot, ": no such file of .csv or .json, and as a sweep of the ",
                     "coordinator at ", context.coordinator, ": ", status.error_message()));
  }
  ALLO_ASSIGN_OR_RETURN(const fitting::Observations points,
                        fitting::ParseCsv(csv, pilot, fitting::OwnExport()));
  return fitting::PilotFromObservations(points, pilot);
}

}  // namespace allometry::cli
