// Which agent runs what, and until when: registrations, heartbeats, leases and decisions.
//
// The rows of the store are the truth. This class adds what only time tells: when each agent was
// last heard, and when each lease ends on the boot clock. Agents and coordinator exchange complete
// lists (DESIGN 6.2), so a lost, repeated or late heartbeat needs no case of its own.
//
// Only Tick() expires leases. Only Heartbeat() renews them, and only for the agent that has the
// attempt. An attempt that its agent never lists is not renewed and so expires. An agent that is
// silent for a lease is forgotten: its next heartbeat gets NOT_FOUND and it registers again. Agents
// come back in the same way after a restart of the coordinator; meanwhile their LEASED attempts
// keep their leases for one whole lease.
//
// Threading: any thread. mutex_ is never held across a write to the store, because the store's
// writer calls Committed, which takes mutex_.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
#include "run/flops_convention.h"

namespace allometry::coordinator {

struct DispatchOptions {
  int64_t lease_ms = 30'000;
  int64_t heartbeat_ms = 1'000;
  const Clock* clock = &Clock::Real();
  // An attempt is not preempted within preempt_after_ms of its start. A preempted one is killed if
  // it has not written its checkpoint and ended within preempt_within_ms.
  int64_t preempt_after_ms = 60'000;
  int64_t preempt_within_ms = 60'000;
  bool ticks_by_itself = true;  // false: a test that owns time calls Tick
};

// The end of the log of an attempt under way.
struct RunningLog {
  std::string tail;
  int64_t unix_us = 0;  // when its worker sent it; 0: not yet
};

// Of the connected workers, for the metrics.
struct DispatchStatistics {
  int workers = 0;
  int workers_without_work = 0;  // drained, backed off, or with a problem of their own
  int64_t slots = 0;
  int64_t free_slots = 0;
  double heartbeat_age_s = 0;  // of the worker that was silent longest
  int64_t leases_lost = 0;     // ran out since the start
};

class Dispatch {
 public:
  // `feed` outlives it.
  Dispatch(const DispatchOptions& options, ChangeFeed& feed);
  ~Dispatch() { Stop(); }
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // For store::Options::committed: updates the view and announces the change to watchers.
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
  // Gives the records to the store, and takes the run's step and pace from them.
  void Append(v1::RecordBatch batch, std::function<void(absl::StatusOr<v1::RecordAck>)> done);

  // Drains the host for the reason; an empty reason ends the drain.
  // NotFound lists the hosts there are.
  absl::Status SetDrained(const std::string& host, const std::string& reason);

  // Ends the back-off of all hosts: they are on probation from now on.
  void EndHostBackoffs();

  // Starts what can start now. Called after every change; cheap when nothing changed.
  void Decide();

  // Expires leases and forgets silent agents. Runs on a thread of its own several times a
  // heartbeat.
  void Tick();

  // Puts why each PENDING run waits into Run.reason, before the stored text.
  void AddReasons(google::protobuf::RepeatedPtrField<v1::Run>& runs) const;
  // Seconds until the last of these runs ends at the pace measured so far; negative: not known.
  double EtaSeconds(const google::protobuf::RepeatedPtrField<v1::Run>& runs,
                    run::FlopsConvention convention) const;
  // The same of every sweep that has open runs, by sweep_id, from what Dispatch holds in memory: a
  // list of sweeps reads no run from the store.
  std::map<int64_t, double> EtaSecondsBySweep() const;
  // The live workers, by host; drained hosts also while no worker of theirs is live; and the paces
  // measured since this coordinator started. A slot is listed as free if its agent's last heartbeat
  // said so, less the runs that it was given since.
  v1::ListWorkersResponse ListWorkers() const;
  DispatchStatistics ReadStatistics() const;
  // What the attempt's worker last sent of its log, which it is asked for from now on for some
  // seconds. Not stored.
  RunningLog AskForLog(const v1::Lease& lease);
  // The ids of the live workers' run roots.
  std::set<std::string> LiveRunRoots() const;

 private:
  void TickUntilStopped();
  void ExpireLeases(int64_t now_ns);
  void ForgetSilentAgents(int64_t now_ns);
  // Called after an attempt ended, or stored a point on a backed-off host: drains hosts that kill
  // runs, and backs off hosts where no attempt stores a point.
  void JudgeHosts();
  // Stores the notice as an event and prints it on standard error.
  void Notify(const std::string& notice);
  // Reads the drained hosts from the rows into the view.
  absl::Status ReadDrained();
  // Asks runs to stop whose limits are used up.
  void EnforceLimits();
  void LimitFailed(int64_t run_id, const absl::Status& status);
  // False: the store could not write, and the rest is not tried now.
  bool StartAttempts(const std::vector<schedule::Assignment>& assignments);
  // Preempts the runs.
  void MakeRoom(const std::vector<schedule::Preemption>& preemptions);
  std::vector<std::string> LiveAgents(const std::string& but, int64_t now_ns) const;
  // Renews the leases of the listed attempts; returns those whose deadline had passed.
  std::vector<v1::Lease> RenewHeld(const v1::HeartbeatRequest& request, int64_t now_ns);
  void TakeLogs(const v1::HeartbeatRequest& request, int64_t now_ns) ALLO_REQUIRES(mutex_);
  v1::HeartbeatResponse ReplyWithHolds(const v1::HeartbeatRequest& request, int64_t now_ns) const;
  // Prints the line on standard error unless it is the last one printed: a full disk gives one
  // line, not one a tick.
  void LogOnce(const std::string& line);
  // Tells the store which checkpoints and run directories the agent has deleted.
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
  int64_t leases_lost_ ALLO_GUARDED_BY(mutex_) = 0;
  struct WantedLog {
    RunningLog log;
    int64_t until_ns = 0;
  };
  std::map<std::string, WantedLog> logs_ ALLO_GUARDED_BY(mutex_);  // by the lease's token

  // Of the tick's thread: bad hosts that were reported but not drained, being the last that could
  // run something.
  std::set<std::string> spared_hosts_;

  std::thread ticker_;
};

}  // namespace allometry::coordinator
