// The scheduler's view of the cluster: the open runs as their rows say, and what only memory knows
// (which agents are alive, when leases end, which slots are free). It is a cache: Put after every
// commit, or of all rows at start; both give the same view.
//
// A plain value without a lock; Dispatch guards it.
//
// Leases. Put gives a LEASED row without a deadline one full lease. That happens for an attempt
// that was just started, for one that returned, and after a restart for every LEASED row (the grace
// window).
// Slots. An agent may be given the slots that its last heartbeat called free, less those that
// LEASED rows hold: a trainer that is still ending occupies a slot that no row knows of. A slot
// that takes several runs reports in `runs` how many more it takes. If the agent reports more
// running attempts on a slot than the rows know of, the slot gets no new run until the agent says
// that they have ended.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/cost/throughput.h"
#include "coordinator/leases/input_wait.h"
#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/host_backoff.h"
#include "coordinator/schedule/limits.h"
#include "coordinator/schedule/scheduler.h"
#include "coordinator/schedule/sharing_paces.h"
#include "coordinator/store/rows.h"

namespace allometry::coordinator {

// An agent that registered since this coordinator started and sent a heartbeat within the last
// lease.
struct KnownAgent {
  std::string host;
  std::string run_root_id;
  std::vector<v1::Slot> slots;       // all of them
  std::vector<v1::Slot> free_slots;  // of the last heartbeat, each with the runs it has room for
  std::set<std::string> held;        // lease tokens of the attempts that it listed
  std::vector<v1::Dataset> datasets;
  std::string version;
  std::string problem;    // why it takes no runs, in its own words; empty: it takes runs
  bool reported = false;  // it sent a heartbeat since it registered
  int64_t heard_ns = 0;
  int64_t named_checkpoints_ns = 0;  // when it was last told what may be deleted
};

// The lease of an attempt that an agent says it holds.
enum class LeaseStatus {
  kLeased,     // valid
  kMayReturn,  // expired, and the run has no newer attempt: a heartbeat renews it
  kDelivers,   // given back at the agent's start; the store still takes its spool
  kGone,       // ended, superseded by a newer attempt, or never this agent's
};

class ClusterView {
 public:
  explicit ClusterView(int64_t lease_ns) : lease_ns_(lease_ns) {}

  // --- Runs ---
  // Adds or replaces the run. A run that has ended is removed.
  void Put(const store::RunRow& row, int64_t now_ns);
  // nullptr: the run is not open.
  const store::RunRow* Find(int64_t run_id) const;
  // The LEASED runs of an agent, by run_id.
  const std::set<int64_t>& HeldBy(const std::string& agent_id) const;
  // Call when records of this attempt are durable, with its newest step, and its pace or 0.
  void Progress(const v1::Lease& lease, int64_t step, double tokens_per_second);
  // Whether records of the run's attempt are stored: its trainer has started.
  bool HasStreamed(int64_t run_id) const;
  // Recomputes expected durations from the paces measured so far. A waiting run keeps its old value
  // if the difference is below 5 %.
  void RefreshDurations();
  const cost::Throughput& throughput() const { return throughput_; }

  // --- Leases ---
  LeaseStatus LeaseStatusOf(const v1::Lease& lease, const std::string& agent_id) const;
  void Renew(const v1::Lease& lease, int64_t now_ns);
  // Time until the lease's deadline; 0 if there is none.
  int64_t RemainingNs(const v1::Lease& lease, int64_t now_ns) const;
  std::vector<v1::Lease> Expired(int64_t now_ns) const;

  // --- Agents ---
  void PutAgent(const v1::RegisterRequest& request, int64_t now_ns);
  void RemoveAgent(const std::string& agent_id);
  // nullptr: the agent is not registered, or was forgotten since.
  KnownAgent* FindAgent(const std::string& agent_id);
  const std::map<std::string, KnownAgent>& agents() const { return agents_; }
  // Takes in a heartbeat. Returns whether the agent's datasets changed.
  bool RecordHeartbeat(const v1::HeartbeatRequest& request, int64_t now_ns);
  std::vector<std::string> SilentSince(int64_t heard_before_ns) const;
  // How many more one-rank runs the slot may take beside the LEASED ones. 0 if a gang has it. Does
  // not look at what the agent's heartbeat says of the slot.
  int32_t RoomBeside(const std::string& agent_id, const v1::Slot& slot) const;
  // Sets which hosts get no runs, each with the reason.
  void SetDrained(std::map<std::string, std::string> hosts);
  const std::map<std::string, std::string>& drained() const { return drained_; }
  // Sets which hosts are backed off (schedule/host_backoff.h). Returns a sentence for each host
  // that is new, and for each that is cleared because an attempt stored a point there.
  std::vector<std::string> SetBackoffs(const std::map<std::string, schedule::HostBackoff>& rests,
                                       int64_t now_unix_us, int64_t now_ns);
  // Puts hosts whose back-off time is over on probation.
  void EndBackoffs(int64_t now_ns);
  // Puts all backed-off hosts on probation.
  void EndAllBackoffs(int64_t now_ns);
  // True, once, after an event that may change which hosts are backed off.
  bool TakeHostsChanged() { return std::exchange(hosts_changed_, false); }
  // Why the worker gets no runs; empty: it may get some.
  std::string WhyNoRuns(const KnownAgent& agent) const;
  // The same for people; also says that a host is on probation.
  std::string HostStatusText(const KnownAgent& agent) const;
  // Slots of all agents that report.
  int LiveSlots() const;

  // --- Decisions ---
  const schedule::ClusterState& state() const { return scheduler_.state(); }
  // No run is preempted between the end of a preempted attempt and the heartbeat that no longer
  // lists it: its slots are about to be free.
  schedule::Decision Decide(int64_t now_ns, schedule::Options options = {}) {
    options.preempt = options.preempt && emptying_.empty();
    return scheduler_.Decide(now_ns, options);
  }
  // Whether anything that a decision reads changed since the last call.
  bool TakeDirty();
  void MarkDirty() { dirty_ = true; }
  // Applies the sweeps' limits (schedule/limits.h) at this wall-clock time: blocks and unblocks
  // waiting runs, and returns the decision, with the LEASED runs to be stopped.
  schedule::LimitsDecision ApplyLimits(int64_t now_unix_us);
  // Why the run waits; empty when it does not.
  std::string WaitingReason(int64_t run_id) const;

 private:
  struct OpenRun {
    store::RunRow row;
    bool streamed = false;
    int64_t deadline_ns = 0;  // of its lease, while LEASED
    bool by_limit = false;    // it is a limit that blocks it
    int32_t sharers = 0;      // on its slot when its pace was last measured, itself included
    int64_t started_ns = 0;   // when its attempt was put first, while LEASED
    int64_t ended_ns = 0;     // when its attempt was seen to have ended, while PENDING
  };
  // A backed-off host; on probation once `until_ns` has passed.
  struct Backoff {
    int rounds = 0;
    int64_t until_ns = 0;
    int64_t backoff_ns = 0;
    std::string reason;
  };

  void Remove(int64_t run_id);
  // A run ended as DATA on this agent. Until its next heartbeat the agent counts as not having the
  // dataset.
  void SuspectDataset(const std::string& agent_id, const std::string& hash);
  // An attempt ended that its agent's heartbeats never listed, and its trainer may still be ending.
  // Its slots count as busy until the agent's next heartbeat.
  void SuspectDevices(const store::Attempt& attempt);
  // A preempted attempt has ended: the agent will report its slots free soon.
  void ExpectRoom(const store::Attempt& attempt);
  // The LEASED run with this lease; nullptr: there is none.
  const OpenRun* Leased(const v1::Lease& lease) const;
  // How many runs may be on the slot. 0 if it cannot be used now; no more than are there if the
  // agent reports attempts that the rows do not know.
  int32_t RoomOn(const KnownAgent& agent, const std::string& agent_id, const v1::Slot& slot) const;
  void RefreshSlots(const std::string& agent_id);
  double DurationOf(const OpenRun& run, double flops_remaining) const;
  // The runs whose checkpoints the run needs.
  static std::vector<int64_t> InputsOf(const store::RunRow& row);
  // What a PENDING run with inputs waits for, and on which run root it should start.
  InputWait WaitOf(int64_t run_id) const;
  void RefreshInputs(int64_t run_id);
  // The host on which the run died, if the run should avoid it; otherwise empty. A run's last try
  // is made on another host if one could run it. After an attempt without a stored point, another
  // run is tried on the host first, which shows whether the run or the host is at fault.
  std::string HostToAvoid(const OpenRun& run, const schedule::RunState& state) const;
  // Recomputes HostToAvoid for the runs in `avoiding_`.
  void RefreshAvoidedHosts();
  // Copies drain, back-off and probation of the agent's host into the scheduler's state.
  void RefreshHostStatus(const std::string& agent_id);
  void RefreshAllHostStatus();
  // The host gets no run until SetBackoffs decides for how long.
  void BackOffUntilJudged(const store::Attempt& attempt);
  // Whether the agent may get runs and has the slots and the dataset for this one.
  bool CouldRun(const schedule::AgentState& agent, const schedule::RunState& run) const;
  // Whether some agent of that root has the slots and the data for the run.
  bool CouldRunUnder(const std::string& root_id, const schedule::RunState& run) const;
  // Call when an agent came or went, was drained, or has other datasets.
  void RefreshPlaces();
  void RefreshDuration(int64_t run_id);
  // How many LEASED runs are on the slot of a one-rank run; 0: the run has no slot, or several.
  int32_t SharersOf(const schedule::RunState& run) const;
  // Takes in a measured pace. A pace taken while other runs came or went on the slot says nothing
  // about sharing.
  void Measured(OpenRun& run, double tokens_per_second);

  // The limits of the row's sweep and what its ended attempts have used.
  void RememberLimits(const store::RunRow& row);
  // Hashes of what an agent with these datasets has: theirs, and those of known unions of them;
  // where it runs commands also CommandsWith() of each.
  std::set<std::string> HashesOf(const std::vector<v1::Dataset>& datasets,
                                 bool runs_commands) const;
  // From now on agents that have all of its members have the union.
  void KnowUnion(const std::string& text);
  // Why a limit forbids this waiting run, without the running attempts' time; empty: no limit does.
  std::string LimitOf(const store::RunRow& row) const;

  const int64_t lease_ns_;
  std::map<int64_t, OpenRun> runs_;
  std::map<int64_t, schedule::SweepLimits> limits_;   // of sweeps that have one
  std::map<int64_t, std::string> used_up_;            // sweep -> why nothing of it may start
  std::map<std::string, std::set<int64_t>> held_by_;  // agent -> LEASED runs
  std::map<int64_t, std::set<int64_t>> dependents_;   // run -> PENDING runs that need it
  std::set<std::string> unions_;                      // names of runs' datasets
  std::set<int64_t> avoiding_;                        // PENDING runs that may avoid a host
  // Agents that get runs: each with its run root and the hashes of its datasets.
  std::map<std::string, std::pair<std::string, std::set<std::string>>> places_;
  std::set<std::string> live_roots_;  // of places_
  std::map<std::string, KnownAgent> agents_;
  // Agent -> tokens of attempts that were asked to stop, have ended, and are still listed.
  std::map<std::string, std::set<std::string>> emptying_;
  std::map<std::string, std::string> drained_;  // host -> why
  std::map<std::string, Backoff> backoffs_;     // by host
  bool hosts_changed_ = true;
  int64_t now_ns_ = 0;             // the newest that was told
  std::map<double, double> pace_;  // params -> FLOPs/s of one device, newest
  bool pace_changed_ = false;
  cost::Throughput throughput_;
  schedule::SharingPaces sharing_;
  schedule::Scheduler scheduler_;
  bool dirty_ = true;
};

}  // namespace allometry::coordinator
