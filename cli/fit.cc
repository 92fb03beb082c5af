// allo fit, allo predict.
#include <filesystem>
#include <iostream>

#include "CLI/CLI.hpp"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/fit_file.h"
#include "fitting/fit.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 300;

int FitSweep(const Context& context, const std::string& sweep, const v1::FitOptions& options,
             const std::string& svg) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::FitRequest request;
  request.set_sweep(sweep);
  *request.mutable_options() = options;
  v1::FitResponse response;
  const grpc::Status status = (*stub)->Fit(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  std::cout << (context.json ? response.report_json() : response.report_text()) << std::flush;
  if (!svg.empty()) {
    if (const absl::Status written = WriteFileAtomically(svg, response.report_svg());
        !written.ok()) {
      return Fail(written);
    }
  }
  return kExitOk;
}

int PredictSweep(const Context& context, const std::string& sweep, const v1::FitOptions& options) {
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  v1::PredictRequest request;
  request.set_sweep(sweep);
  *request.mutable_options() = options;
  v1::PredictResponse response;
  const grpc::Status status =
      (*stub)->Predict(MakeCall(context, kTimeoutS).get(), request, &response);
  if (!status.ok()) return Fail(context, status);
  std::cout << (context.json ? response.report_json() : response.report_text()) << std::flush;
  return kExitOk;
}

}  // namespace
}  // namespace allometry::cli
