// An agent whose every word a test decides: no trainer, no spool, no clock.
//
//   FakeAgent agent(coordinator->worker(), "host-a", {"cpu:0", "cpu:1"}, {dataset});
//   ASSERT_OK(agent.Register());
//   const v1::Hold hold = agent.Obtain();           // heartbeats until there is something to start
//   agent.Send(hold.lease(), {PointAt(1, 10, "train", 4.5)});
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "proto/worker.grpc.pb.h"
#include "tests/coordinator/records.h"
#include "transport/agent_id.h"

namespace allometry::testing {

class FakeAgent {
 public:
  // The agent's secret follows from its host's name. Slots are devices of that host.
  FakeAgent(std::unique_ptr<v1::WorkerService::Stub> stub, std::string host,
            std::vector<std::string> devices, std::vector<v1::Dataset> datasets);

  absl::Status Register(const std::vector<v1::GivenBack>& given_back = {});
  // One heartbeat with what is held and free; does not take up anything.
  absl::StatusOr<v1::HeartbeatResponse> Heartbeat();

  // A heartbeat, after which the agent holds what the reply says and nothing else.
  absl::StatusOr<v1::HeartbeatResponse> Reconcile();
  // Reconciles until there is an attempt that it did not return before, at most `tries` times; a
  // Hold without a lease when none came.
  v1::Hold Obtain(int tries = 20);

  // A stream of its own for one batch: writes it, waits for its ack.
  absl::StatusOr<v1::RecordAck> Send(const v1::Lease& lease,
                                     const std::vector<v1::Record>& records);

  // Marks the attempt as ended, or forgets it.
  void MarkEnded(const v1::Lease& lease, uint64_t last_sequence);
  void Forget(const v1::Lease& lease);
  const std::vector<v1::Hold>& held() const { return held_; }

  std::vector<v1::Dataset> datasets;
  std::string problem;               // why it takes no runs
  std::vector<std::string> deleted;  // checkpoints that heartbeats say are gone

  std::string agent_secret() const { return "secret-of-" + host_; }
  std::string agent_id() const { return transport::AgentIdOf(agent_secret()); }
  const std::string& session() const { return session_; }
  v1::WorkerService::Stub& stub() { return *stub_; }
  v1::HeartbeatRequest HeartbeatMessage() const;

 private:
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const std::string host_;
  const std::vector<std::string> devices_;
  std::string session_;  // of the last registration
  std::vector<v1::Hold> held_;
  std::vector<v1::HeldAttempt> ended_;
  std::set<std::string> obtained_;  // tokens that Obtain returned
};

}  // namespace allometry::testing
