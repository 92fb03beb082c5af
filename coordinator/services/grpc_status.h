// absl's and gRPC's status codes have the same numbers.
#pragma once

#include <string>

#include "base/status.h"
#include "grpcpp/support/status.h"

namespace allometry::coordinator {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace allometry::coordinator
