// Where a coordinator listens: a Unix socket of this machine, or a TCP port.
//
//   unix:PATH       for programs of one user on one machine; PATH may be relative, of any length
//   HOST:PORT       and [IPV6]:PORT
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::transport {

struct Address {
  std::string path;  // absolute, of a Unix socket; empty: TCP
  std::string host;  // without brackets
  int port = 0;

  bool is_unix() const { return !path.empty(); }
  // As it is written above, with brackets around IPv6.
  std::string ToString() const;
};

// InvalidArgument names `option` (as "--listen"), the value, and what an address looks like.
// Port 0 is allowed only where `any_port` says so.
absl::StatusOr<Address> ParseAddress(absl::string_view text, absl::string_view option,
                                     bool any_port = false);

// Whether `host` is this machine by its writing: 127.0.0.0/8, ::1, the unspecified addresses, or
// localhost. A name that begins with "127." is a name.
bool IsLoopback(const std::string& host);

// Whether only programs of this machine reach a server that listens on this host: 127.0.0.0/8, ::1
// or localhost.
bool IsLoopbackOnly(const std::string& host);

// Where a coordinator of this user listens unless told: "unix:FOLDER/coordinator.sock", FOLDER the
// first of $XDG_RUNTIME_DIR/allometry, /run/user/UID/allometry, /tmp/allometry-UID whose parent is
// there and is this user's (or is /tmp).
std::string DefaultListenAddress();
// Where its clients look: the first of those with a socket, otherwise the first.
std::string DefaultCoordinatorAddress();

}  // namespace allometry::transport
