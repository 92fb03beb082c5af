// The agent's connection to the coordinator: two calls and one stream, all asynchronous on one
// queue, so that a coordinator that hangs cannot stop the agent from enforcing leases.
//
// One thread: all work and all callbacks run inside WaitAndDispatch, on the caller's thread. Errors
// are gRPC's statuses; UNAVAILABLE and DEADLINE_EXCEEDED mean that the coordinator is away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "proto/worker.pb.h"
#include "transport/connection.h"

namespace allometry::agent {

class CoordinatorLink {
 public:
  using OnRegister = std::function<void(const absl::Status&, const v1::RegisterResponse&)>;
  using OnHeartbeat = std::function<void(const absl::Status&, const v1::HeartbeatResponse&)>;
  using OnAck = std::function<void(const v1::RecordAck&)>;
  using OnStreamClosed = std::function<void(const absl::Status&)>;

  // `coordinator_file`: a file that holds the address, read at each Reconnect; where it cannot be
  // read, the last address counts. Empty: options.address.
  // InvalidArgument or PermissionDenied as transport::Validate and Connect: it can never work.
  static absl::StatusOr<std::unique_ptr<CoordinatorLink>> Create(
      transport::ConnectionOptions options, const std::string& coordinator_file = "");
  // Cancels what is in flight; its callbacks are not called.
  ~CoordinatorLink();
  CoordinatorLink(const CoordinatorLink&) = delete;
  CoordinatorLink& operator=(const CoordinatorLink&) = delete;

  void Register(const v1::RegisterRequest& request, int64_t timeout_ms, OnRegister done);
  void Heartbeat(const v1::HeartbeatRequest& request, int64_t timeout_ms, OnHeartbeat done);

  // Sets the session that the coordinator gave at registration; streams opened later carry it.
  void SetSession(std::string session);
  const std::string& session() const;

  // Opens the stream; only when there is none. `closed` is called once, at its end.
  void OpenStream(OnAck ack, OnStreamClosed closed);
  bool has_stream() const;
  // Whether Send may be called now.
  bool writable() const;
  void Send(const v1::RecordBatch& batch);

  // Waits up to `timeout_ms` for something to happen, and calls back for all that did.
  void WaitAndDispatch(int64_t timeout_ms);

  // Where the coordinator is, as last known.
  const std::string& address() const;
  // Whether the file says another one now.
  bool Moved() const;

  // Drops the connection for a new one, reading address, token and certificate again: a dead
  // network path may hold the old one for minutes. Whatever is in flight ends as CANCELLED. Where
  // it cannot, the old one stays.
  absl::Status Reconnect();

 private:
  struct Wire;
  explicit CoordinatorLink(std::unique_ptr<Wire> wire);
  const std::unique_ptr<Wire> wire_;
};

}  // namespace allometry::agent
