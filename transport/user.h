// Who a person is: the login name that a client sends with every call.
//
// On a Unix socket the kernel says whose process connects, and listener.h admits only the
// coordinator's own user and root: the coordinator's own name is proven there. Everything else is
// what the client claims; a token proves that a client may call, not who uses it.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>

namespace allometry::transport {

// Metadata of a call: a login name in printable ASCII.
inline constexpr char kUserMetadata[] = "allo-user";

// Of this process's user; its number where it has no name.
std::string LoginName();

void SendUser(grpc::ClientContext& call);

struct CallingUser {
  std::string name;  // at most 64 printable characters; empty: the client sends none
  bool is_claimed = true;
};
CallingUser UserOf(const grpc::ServerContext& call);

}  // namespace allometry::transport
