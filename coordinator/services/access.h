// Who may call: TLS for the connection, one shared token for the call.
//
// The token travels as metadata "authorization: Bearer TOKEN" and is compared in constant time.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "coordinator/options.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"

namespace allometry::coordinator {

// Immutable after construction; safe from any thread.
class TokenCheck {
 public:
  // An empty token admits every call.
  explicit TokenCheck(std::string token) : token_(std::move(token)) {}

  // UNAUTHENTICATED with a sentence that says what to do; never says what was expected.
  grpc::Status Check(const grpc::ServerContext& context) const;

 private:
  const std::string token_;
};

// The first line of `path`, without white space around it; empty for an empty path.
// InvalidArgument when shorter than 16 characters.
absl::StatusOr<std::string> ReadToken(const std::string& path);

// TLS from the options' PEM files, otherwise none.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const Options& options);

// True when both are equal; takes the same time wherever they differ.
bool EqualInConstantTime(absl::string_view secret, absl::string_view offered);

}  // namespace allometry::coordinator
