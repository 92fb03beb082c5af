// A client's connection to its coordinator, which proves its identity before the client sends.
//
//   a Unix socket   the socket and its folder belong to this user or to root (socket_folder.h); the
//                   coordinator looks at the uid of the process that connects (listener.h)
//   TCP             TLS always, on loopback too: the certificate is the token's own (identity.h),
//   or,
//                   with a CA file, one that this authority signed. The token is sent after that,
//                   with every call.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "base/status.h"

namespace allometry::transport {

struct ConnectionOptions {
  std::string address = {};              // transport/address.h
  std::string option = "--coordinator";  // what named the address, for messages
  std::string tls_ca = {};               // PEM file; empty: the token's own identity
  std::string token_file = {};           // needed on TCP
};

// InvalidArgument: not an address, a CA or token file that is missing or not one, no token file
// where one is needed.
absl::Status Validate(const ConnectionOptions& options);

// Reads the files again at each call. Does not wait for an answer; where a Unix socket is not there
// yet, or a token is needed and not given, calls are UNAVAILABLE. InvalidArgument: not an address,
// a file that is missing or not one; PermissionDenied: the socket is another user's.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ConnectionOptions& options,
                                                       grpc::ChannelArguments arguments = {});

// Whether the transport gave the status and not the coordinator: nobody listens, the connection
// broke, no answer came in time.
bool IsFromTransport(const grpc::Status& status);

inline constexpr char kAsksForToken[] = "it asks for a token";
// Begins what PlainReason says of a certificate that --tls-ca does not prove.
inline constexpr char kRefusesCertificate[] = "the certificate that is shown there is refused: ";

// Why, in plain words and without gRPC's: "nothing listens there". Where a certificate is refused
// it looks at that once more itself, for at most two seconds, to say what is wrong with it.
std::string PlainReason(const ConnectionOptions& options, const grpc::Status& status);

// "through the proxy HOST:PORT that https_proxy names"; empty: no proxy is used.
std::string ProxyNote(const ConnectionOptions& options);

// gRPC's own log lines appear only where GRPC_VERBOSITY asks for them. Once, before any call.
void QuietGrpc();

}  // namespace allometry::transport
