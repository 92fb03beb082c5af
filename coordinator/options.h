// What a coordinator is told at start, and the rule that it is safe by default.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "transport/address.h"

namespace allometry::coordinator {

struct Options {
  std::string db_path;
  // unix:PATH, HOST:PORT or [IPV6]:PORT, port 0: any free one; empty: DefaultListenAddress().
  std::string listen;
  int64_t lease_ms = 30'000;
  int64_t heartbeat_ms = 1'000;
  // A run is left alone for so long before it may be stopped for one of a higher priority, and then
  // has so long for its checkpoint.
  int64_t preempt_after_ms = 60'000;
  int64_t preempt_within_ms = 60'000;
  // For TCP alone, where a token is needed; see transport/server_trust.h.
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string token_file;               // made where it is missing
  const Clock* clock = &Clock::Real();  // outlives the server
  // Once, on a thread of the store, with a sentence: the database's file is not there any more, so
  // nothing can be acknowledged. The process should stop. May be null.
  std::function<void(const absl::Status&)> lost;
};

// The address that the options name. InvalidArgument says which part of it is wrong.
absl::StatusOr<transport::Address> ListenAddressOf(const Options& options);

// InvalidArgument for values that cannot work; FailedPrecondition for TCP without a token: every
// user of the machine, or anyone on the network, could then run work or read results.
absl::Status Validate(const Options& options);

}  // namespace allometry::coordinator
