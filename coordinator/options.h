// The options of a coordinator. The defaults let nobody but its user in.
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
  // A run is not preempted within preempt_after_ms of its start. A preempted run has
  // preempt_within_ms to write its checkpoint.
  int64_t preempt_after_ms = 60'000;
  int64_t preempt_within_ms = 60'000;
  // For TCP alone, where a token is needed; see transport/server_trust.h.
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string token_file;  // made where it is missing
  // Where metrics are served over HTTP (metrics/metrics_server.h), HOST:PORT; empty: nowhere. They
  // need no token, so an address beyond loopback is refused unless metrics_anywhere says otherwise.
  std::string metrics;
  bool metrics_anywhere = false;
  const Clock* clock = &Clock::Real();  // outlives the server
  // Called once, on a thread of the store, when the database's file is gone and nothing can be
  // acknowledged any more; the status has a sentence. The process should stop. May be null.
  std::function<void(const absl::Status&)> lost;
};

// The address that the options name. InvalidArgument says which part of it is wrong.
absl::StatusOr<transport::Address> ListenAddressOf(const Options& options);

// Of a non-empty `metrics`. InvalidArgument: not HOST:PORT. FailedPrecondition: beyond loopback.
absl::StatusOr<transport::Address> MetricsAddressOf(const Options& options);

// InvalidArgument for values that cannot work. FailedPrecondition for TCP without a token, because
// any user of the machine or the network could then run work and read results.
absl::Status Validate(const Options& options);

}  // namespace allometry::coordinator
