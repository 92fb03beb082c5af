// Who runs what, for how long: registrations, heartbeats, leases and decisions.
//
// The rows are the truth (coordinator/store); this class knows what only time tells: who was heard
// when, and when each lease ends on the boot clock. Both sides speak in full lists (DESIGN 6.2), so
// a heartbeat that is lost, repeated or late needs no case of its own.
//
// A lease ends in one place, a tick, and comes back in one, a heartbeat of the agent that had it.
// An attempt that its agent never lists is not renewed and so expires. An agent that is silent for
// a lease is forgotten: its next heartbeat is NOT_FOUND and it registers again, which is also how
// agents come back after a restart of the coordinator, whose LEASED attempts meanwhile keep their
// leases for a whole lease.
//
// Threading: any thread. mutex_ is never held across a write to the store, because the store's
// writer calls Committed, which takes it.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/leases/cluster_view.h"
#include "coordinator/store/change_feed.h"
#include "coordinator/store/store.h"
#include "proto/client.pb.h"
#include "proto/worker.pb.h"

namespace allometry::coordinator {

struct DispatchOptions {
  int64_t lease_ms = 30'000;
  int64_t heartbeat_ms = 1'000;
  const Clock* clock = &Clock::Real();
  // An attempt of a lower priority goes on for so long before it is asked to make room, and then
  // has so long for its checkpoint until it is killed.
  int64_t preempt_after_ms = 60'000;
  int64_t preempt_within_ms = 60'000;
  bool ticks_by_itself = true;  // false: a test that owns time calls Tick
};

class Dispatch {
 public:
  // `feed` outlives it.
  Dispatch(const DispatchOptions& options, ChangeFeed& feed);
  ~Dispatch() { Stop(); }
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // For store::Options::committed: folds the rows into the view and tells the watchers.
  void Committed(absl::Span<const store::RunRow> rows);
  // Builds the view from the rows and starts the tick. Once, before any other call but Committed.
  // The store outlives this.
  absl::Status Start(store::Store& store);
  // Ends the tick. No other call but Committed after it.
  void Stop();

  // InvalidArgument for a request that no agent makes; AlreadyExists names the live agent that has
  // one of its devices.
  absl::StatusOr<v1::RegisterResponse> Register(const v1::RegisterRequest& request);
  // NotFound: register (again).
  absl::StatusOr<v1::HeartbeatResponse> Heartbeat(const v1::HeartbeatRequest& request);
  // Hands the records to the store; learns from them how far and how fast the run is.
  void Append(v1::RecordBatch batch, std::function<void(absl::StatusOr<v1::RecordAck>)> done);

  // Gives the host no more runs, for the reason, or, with an empty one, gives it runs again.
  // NotFound lists the hosts there are.
  absl::Status SetDrained(const std::string& host, const std::string& reason);

  // Hosts that rest after runs failed there are tried again now.
  void EndHostBackoffs();

  // Starts what can start now. Called after every change; cheap when nothing changed.
  void Decide();

  // What time alone brings: leases that end, agents that are silent. Calls itself several times a
  // heartbeat.
  void Tick();

  // The reason for which each PENDING run waits, into Run.reason, before what was stored there.
  void AddReasons(google::protobuf::RepeatedPtrField<v1::Run>& runs) const;
  // Seconds until the last of these runs ends at the pace measured so far; negative: not known.
  double EtaSeconds(const google::protobuf::RepeatedPtrField<v1::Run>& runs,
                    const std::string& flops_convention) const;
  // The workers that are heard, by host, drained hosts also while they are away, and the paces
  // measured in this life of the coordinator. A slot is free when its agent's last heartbeat said
  // so and it has room beside what was given it since: for as many runs as the free slot says.
  v1::ListWorkersResponse ListWorkers() const;

 private:
  void TickUntilStopped();
  void ExpireLeases(int64_t now_ns);
  void ForgetSilentAgents(int64_t now_ns);
  // After an attempt ended, or got going on a host that rested: drains the hosts that kill runs,
  // and lets those rest where none gets going.
  void JudgeHosts();
  // The notice as an event, and on standard error.
  void Notify(const std::string& notice);
  // From the rows into the view.
  absl::Status ReadDrained();
  // Stops what the sweeps' limits forbid.
  void EnforceLimits();
  void LimitFailed(int64_t run_id, const absl::Status& status);
  // False where the store could not write and it is no use to go on now.
  bool StartAttempts(const std::vector<schedule::Assignment>& assignments);
  // Asks the runs to write a checkpoint and give their slots back.
  void MakeRoom(const std::vector<schedule::Preemption>& preemptions);
  std::vector<std::string> LiveAgents(const std::string& but, int64_t now_ns) const;
  // Renews what is held; returns what came back from beyond its deadline.
  std::vector<v1::Lease> RenewHeld(const v1::HeartbeatRequest& request, int64_t now_ns);
  v1::HeartbeatResponse ReplyWithHolds(const v1::HeartbeatRequest& request, int64_t now_ns) const;
  // On standard error, unless it is what was said last: a full disk is one line, not one a tick.
  void LogOnce(const std::string& line);
  // What the agent says is gone.
  absl::Status ForgetDeleted(const v1::HeartbeatRequest& request);
  absl::Status NameDeletable(const std::string& agent_id, int64_t now_ns,
                             v1::HeartbeatResponse& response);

  // Constant after construction, store_ after Start.
  const DispatchOptions options_;
  const int64_t lease_ns_;
  ChangeFeed& feed_;
  store::Store* store_ = nullptr;

  // Held while an agent registers, so that two cannot both find a device free. Before mutex_.
  Mutex registering_;

  mutable Mutex mutex_;
  ConditionVariable changed_;
  ClusterView view_ ALLO_GUARDED_BY(mutex_);
  std::set<std::string> expiring_ ALLO_GUARDED_BY(mutex_);  // tokens whose end is being written
  bool deciding_ ALLO_GUARDED_BY(mutex_) = false;           // some thread is in Decide
  bool stopping_ ALLO_GUARDED_BY(mutex_) = false;
  // Agents that had LEASED runs when this life began, and until when their devices are theirs.
  std::set<std::string> grace_agents_ ALLO_GUARDED_BY(mutex_);
  int64_t grace_until_ns_ ALLO_GUARDED_BY(mutex_) = 0;
  std::string last_line_ ALLO_GUARDED_BY(mutex_);
  int64_t decide_by_ns_ ALLO_GUARDED_BY(mutex_) = 0;  // though nothing changed

  // The tick's own: hosts that it said are bad and cannot be done without.
  std::set<std::string> spared_hosts_;

  std::thread ticker_;
};

}  // namespace allometry::coordinator
