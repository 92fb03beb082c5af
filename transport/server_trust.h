// A server's TLS certificates and its check of tokens, on TCP.
//
// A client that does not bring a token is refused when the headers of its call are there, before
// the message is read. The files are read again when they change: a new certificate or token is
// used from the next connection or call on, and open connections stay. If a file cannot be read any
// more, its earlier content stays in use, and a line on standard error says so once.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::transport {

struct ServerTrustOptions {
  std::string token_file = {};  // needed; transport/token.h
  // PEM files, both or none. Without them the tokens' own identities are shown; with them those are
  // shown to clients that ask for them (who have the token and no CA).
  std::string tls_cert_file = {};
  std::string tls_key_file = {};
};

// InvalidArgument or NotFound: a file is missing, not a token file, or key and certificate do not
// belong together.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerTrust(
    const ServerTrustOptions& options);

}  // namespace allometry::transport
