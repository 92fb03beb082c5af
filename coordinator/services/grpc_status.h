// absl's and gRPC's status codes have the same numbers.
#pragma once

#include <string>

#include "base/foreign_text.h"
#include "base/status.h"
#include "grpcpp/support/status.h"

namespace allometry::coordinator {

// A message travels in the trailers, which clients take up to 8 KiB of, with three bytes for each
// that is not printable ASCII.
inline std::string ForTrailer(absl::string_view message) {
  constexpr size_t kMost = 7000;
  size_t encoded = 0, keep = 0;
  for (; keep < message.size(); ++keep) {
    encoded += message[keep] >= 0x20 && message[keep] < 0x7f && message[keep] != '%' ? 1 : 3;
    if (encoded > kMost) break;
  }
  return Shortened(message, keep);
}

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), ForTrailer(status.message())};
}

// The status for a client. A client reads UNAVAILABLE as "no coordinator answers", so a store that
// cannot be read or written now (locked by another program, a failing disk) becomes ABORTED.
inline grpc::Status ToClient(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return ToGrpc(status);
  return {grpc::StatusCode::ABORTED, ForTrailer(status.message())};
}

}  // namespace allometry::coordinator
