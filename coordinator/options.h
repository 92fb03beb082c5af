// What a coordinator is told at start, and the rule that it is safe by default.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace allometry::coordinator {

// Where a coordinator listens, and where `allo` and `allo-worker` look for it, unless told.
inline constexpr char kDefaultListen[] = "127.0.0.1:7447";

struct Options {
  std::string db_path;
  std::string listen = kDefaultListen;  // HOST:PORT, [IPV6]:PORT; port 0: any free one
  int64_t lease_ms = 30'000;
  int64_t heartbeat_ms = 1'000;
  // A run is left alone for so long before it may be stopped for one of a higher priority, and then
  // has so long for its checkpoint.
  int64_t preempt_after_ms = 60'000;
  int64_t preempt_within_ms = 60'000;
  std::string tls_cert_file;  // PEM chain; with tls_key_file
  std::string tls_key_file;
  std::string token_file;               // its first line is the token that every call must bring
  const Clock* clock = &Clock::Real();  // outlives the server
};

struct ListenAddress {
  std::string host;  // without brackets
  int port = 0;
  bool loopback = false;  // 127.0.0.0/8, ::1 or localhost

  // As gRPC and people write it: brackets around IPv6.
  std::string ToString() const;
};

// InvalidArgument says which part of HOST:PORT is wrong.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// InvalidArgument for values that cannot work; FailedPrecondition for an address other than
// loopback without TLS and a token: anyone on the network could then run work or read results.
absl::Status Validate(const Options& options);

}  // namespace allometry::coordinator
