// A worker service whose every answer a test decides: the coordinator's side of the protocol,
// without a database or a scheduler.
//
// Behaves as the real one does towards an honest agent: holds what was assigned until its exit
// record came, stores each record once, acknowledges what it stored. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proto/worker.grpc.pb.h"
#include "tests/testing/temporary_folder.h"
#include "worker/agent/state_dir.h"

namespace allometry::testing {

class ScriptedCoordinator final : public v1::WorkerService::Service {
 public:
  explicit ScriptedCoordinator(int64_t lease_ms = 30'000);
  ~ScriptedCoordinator() override;

  std::string address() const { return address_; }
  void Stop();   // calls in flight end as UNAVAILABLE
  void Start();  // at the same address

  // What it holds.
  void Assign(const v1::Hold& hold);
  void Unassign(const agent::Lease& lease);
  void TellPreempt(const agent::Lease& lease, int64_t within_ms = 0);
  void TellCancel(const agent::Lease& lease);
  void Delete(const std::string& checkpoint);

  // How it misbehaves.
  void GiveAway(const agent::Lease& lease);  // its records are answered as stale
  void SetMute(bool mute);                   // heartbeats are not answered
  void SetRepeatSpecs(bool repeat);          // every reply carries every spec
  void SetWithholdAcks(bool withhold);
  void ForgetAgents();  // the next heartbeat is NOT_FOUND

  // What it saw. Each record once, in the order of its sequence.
  std::vector<v1::Record> RecordsOf(const agent::Lease& lease) const;
  int64_t repeated_records() const;  // that were stored already
  std::vector<v1::RegisterRequest> registrations() const;
  v1::HeartbeatRequest last_heartbeat() const;
  size_t heartbeats() const;
  // Checkpoints that heartbeats said are gone; one a time that it was said.
  std::vector<std::string> deleted() const;
  // Waits until it is true of this object; false after 60 s.
  bool Eventually(const std::function<bool(const ScriptedCoordinator&)>& condition) const;
  bool HasExited(const agent::Lease& lease) const;
  // The exit record; waits for it.
  v1::ExitRecord ExitOf(const agent::Lease& lease) const;
  bool IsHeld(const agent::Lease& lease) const;

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request,
                        v1::RegisterResponse* response) override;
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override;
  grpc::Status StreamRecords(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::RecordAck, v1::RecordBatch>* stream) override;

 private:
  v1::RecordAck Store(const v1::RecordBatch& batch);

  const int64_t lease_ms_;
  const TemporaryFolder folder_;
  const std::string address_ = "unix:" + folder_.Path("coordinator.sock");
  std::unique_ptr<grpc::Server> server_;

  mutable Mutex mutex_;
  mutable ConditionVariable changed_;
  std::map<agent::Lease, v1::Hold> holds_ ALLO_GUARDED_BY(mutex_);
  std::map<agent::Lease, std::map<uint64_t, v1::Record>> records_ ALLO_GUARDED_BY(mutex_);
  int64_t repeated_records_ ALLO_GUARDED_BY(mutex_) = 0;
  std::set<agent::Lease> given_away_ ALLO_GUARDED_BY(mutex_);
  std::vector<std::string> deletable_ ALLO_GUARDED_BY(mutex_);
  std::vector<std::string> deleted_ ALLO_GUARDED_BY(mutex_);
  std::vector<v1::RegisterRequest> registrations_ ALLO_GUARDED_BY(mutex_);
  size_t heartbeats_ ALLO_GUARDED_BY(mutex_) = 0;
  v1::HeartbeatRequest last_heartbeat_ ALLO_GUARDED_BY(mutex_);
  bool knows_agent_ ALLO_GUARDED_BY(mutex_) = false;
  bool mute_ ALLO_GUARDED_BY(mutex_) = false;
  bool repeat_specs_ ALLO_GUARDED_BY(mutex_) = false;
  bool withhold_acks_ ALLO_GUARDED_BY(mutex_) = false;
  bool stopping_ ALLO_GUARDED_BY(mutex_) = false;
};

}  // namespace allometry::testing
