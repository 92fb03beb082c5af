// A server's TLS and tokens on TCP: what it shows, and whom it lets in.
//
// A client that does not bring a token is refused when the headers of its call are there, before
// the message is read. The files are read again when they change: a new certificate or token counts
// from the next connection or call on, and connections that are open stay. A file that cannot be
// read any more leaves what was read before, and says so once.
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
