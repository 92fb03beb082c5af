#include "cli/sweep_observations.h"

#include <filesystem>

#include "fitting/data/csv.h"

namespace allometry::cli {

absl::StatusOr<fitting::Observations> SweepObservations(const Context& context,
                                                        const std::string& sweep,
                                                        grpc::Status* why) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<v1::ClientService::Stub> stub, Connect(context));
  v1::ExportRequest request;
  request.set_sweep(sweep);
  request.set_what("observations");
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 60);
  const std::unique_ptr<grpc::ClientReader<v1::ExportResponse>> reader =
      stub->Export(call.get(), request);
  std::string csv;
  v1::ExportResponse piece;
  while (reader->Read(&piece)) csv += piece.csv();
  const grpc::Status status = reader->Finish();
  if (!status.ok()) {
    if (why != nullptr) *why = status;
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
  return fitting::ParseCsv(csv, sweep, fitting::OwnExport());
}

bool NamesAFile(const std::string& target) {
  return target == "-" || target.find('/') != std::string::npos || target.ends_with(".csv") ||
         std::filesystem::is_regular_file(target);
}

}  // namespace allometry::cli
