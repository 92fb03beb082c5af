// The scheduler's view: the open runs as their rows say, and what only memory knows: who is alive,
// when leases end, what is free. A cache: Put after every commit, from the rows at start; both ways
// give the same view of the runs.
//
// A plain value without a lock: Dispatch guards it.
//
// Leases. A LEASED row without a deadline gets one a full lease away when it is put: an attempt
// just started, one that returned, and after a restart every one of them (the grace window).
// Slots. What an agent may be given is what its last heartbeat called free, and what its LEASED
// runs hold: a trainer that is still ending occupies a slot that no row knows of. A slot that takes
// several runs is free when it has room for one more and says in `runs` for how many; where more
// are on it than rows know of, nobody new comes until the agent says that they have ended.
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

// An agent that registered in this life of the coordinator and was heard since within a lease.
struct KnownAgent {
  std::string host;
  std::string run_root_id;
  std::vector<v1::Slot> slots;       // all of them
  std::vector<v1::Slot> free_slots;  // of the last heartbeat, each with the runs it has room for
  std::set<std::string> held;        // tokens of the attempts that it listed
  std::vector<v1::Dataset> datasets;
  std::string version;
  std::string problem;    // why it takes no runs, in its own words; empty: it does
  bool reported = false;  // a heartbeat came since it registered
  int64_t heard_ns = 0;
  int64_t named_checkpoints_ns = 0;  // when it was last told what may be deleted
};

// What an agent's word that it holds an attempt is worth.
enum class LeaseStatus {
  kLeased,     // its lease is good
  kMayReturn,  // expired, and not given away yet
  kDelivers,   // given back at the agent's start; its spool is still taken
  kGone,       // ended, given away, or never its own
};

class ClusterView {
 public:
  explicit ClusterView(int64_t lease_ns) : lease_ns_(lease_ns) {}

  // --- Runs ---
  // As it is now; one that has ended leaves the view.
  void Put(const store::RunRow& row, int64_t now_ns);
  // nullptr: not open.
  const store::RunRow* Find(int64_t run_id) const;
  // The LEASED runs of an agent, by run_id.
  const std::set<int64_t>& HeldBy(const std::string& agent_id) const;
  // Durable records of this attempt came: its newest step, and its pace when that was measured.
  void Progress(const v1::Lease& lease, int64_t step, double tokens_per_second);
  // Whether records of this attempt came, in this life or before: its trainer has started.
  bool HasStreamed(int64_t run_id) const;
  // Expected durations anew, from the paces measured so far. A run that waits keeps its place for a
  // difference below a twentieth.
  void RefreshDurations();
  const cost::Throughput& throughput() const { return throughput_; }

  // --- Leases ---
  LeaseStatus LeaseStatusOf(const v1::Lease& lease, const std::string& agent_id) const;
  void Renew(const v1::Lease& lease, int64_t now_ns);
  // Until its deadline; 0 where there is none.
  int64_t RemainingNs(const v1::Lease& lease, int64_t now_ns) const;
  std::vector<v1::Lease> Expired(int64_t now_ns) const;

  // --- Agents ---
  void PutAgent(const v1::RegisterRequest& request, int64_t now_ns);
  void RemoveAgent(const std::string& agent_id);
  // nullptr: not registered, or lost since.
  KnownAgent* FindAgent(const std::string& agent_id);
  const std::map<std::string, KnownAgent>& agents() const { return agents_; }
  // A heartbeat came. Returns whether its datasets are others than before.
  bool RecordHeartbeat(const v1::HeartbeatRequest& request, int64_t now_ns);
  std::vector<std::string> SilentSince(int64_t heard_before_ns) const;
  // How many more runs of one rank the slot may take beside the LEASED ones, were it free as the
  // agent says: 0 where one rank of several has it.
  int32_t RoomBeside(const std::string& agent_id, const v1::Slot& slot) const;
  // Hosts that get no runs, each with why: those and no others from now on.
  void SetDrained(std::map<std::string, std::string> hosts);
  const std::map<std::string, std::string>& drained() const { return drained_; }
  // Hosts whose runs fail before they get going (schedule/host_backoff.h): those and no others from
  // now on. Returns a sentence for each that is new, and for each that got a run going.
  std::vector<std::string> SetBackoffs(const std::map<std::string, schedule::HostBackoff>& rests,
                                       int64_t now_unix_us, int64_t now_ns);
  // Ends the rests that are over: those hosts are on probation from then on.
  void EndBackoffs(int64_t now_ns);
  // Ends all of them.
  void EndAllBackoffs(int64_t now_ns);
  // True once after something happened that SetBackoffs should know of.
  bool TakeHostsChanged() { return std::exchange(hosts_changed_, false); }
  // Why the worker gets no runs; empty: it gets some.
  std::string WhyNoRuns(const KnownAgent& agent) const;
  // The same for people, who are told of a probation, too.
  std::string HostStatusText(const KnownAgent& agent) const;
  // Slots of all agents that report.
  int LiveSlots() const;

  // --- Decisions ---
  const schedule::ClusterState& state() const { return scheduler_.state(); }
  // No run is asked to make room while room that was made is on its way: from the end of an attempt
  // that was asked to stop until its agent's heartbeat no longer lists it.
  schedule::Decision Decide(int64_t now_ns, schedule::Options options = {}) {
    options.preempt = options.preempt && emptying_.empty();
    return scheduler_.Decide(now_ns, options);
  }
  // Whether anything that a decision reads changed since the last call.
  bool TakeDirty();
  void MarkDirty() { dirty_ = true; }
  // What the sweeps' limits forbid at this moment on the wall clock (schedule/limits.h): blocks
  // waiting runs or lets them go on, and returns what that is, with the LEASED runs to be stopped.
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
  // A host that rests, or is on probation once `until_ns` is over.
  struct Backoff {
    int rounds = 0;
    int64_t until_ns = 0;
    int64_t backoff_ns = 0;
    std::string reason;
  };

  void Remove(int64_t run_id);
  // A run ended there for its data: the agent has it no more, until its next heartbeat says so.
  void SuspectDataset(const std::string& agent_id, const std::string& hash);
  // An attempt is over of which its agent never said that it held it: what it called free when it
  // did not know of it is so no more, until its next heartbeat. Its trainer may be ending still.
  void SuspectDevices(const store::Attempt& attempt);
  // Its attempt was asked to stop and has ended: the agent will call its slots free soon.
  void ExpectRoom(const store::Attempt& attempt);
  // The LEASED run that this lease is of; nullptr where there is none.
  const OpenRun* Leased(const v1::Lease& lease) const;
  // How many runs may be on the slot: 0 when it cannot be used now, and no more than are there when
  // what else is there is not known.
  int32_t RoomOn(const KnownAgent& agent, const std::string& agent_id, const v1::Slot& slot) const;
  void RefreshSlots(const std::string& agent_id);
  double DurationOf(const OpenRun& run, double flops_remaining) const;
  // The runs that it needs something of.
  static std::vector<int64_t> InputsOf(const store::RunRow& row);
  // Of a PENDING run with inputs: what it waits for and where it should go, with what is known of
  // those runs and of the agents.
  InputWait WaitOf(int64_t run_id) const;
  void RefreshInputs(int64_t run_id);
  // The host where the run died: it is not to use up its last try there when another could run it,
  // and where it did not get going, other runs go first, which shows whose fault that was. Empty:
  // none.
  std::string HostToAvoid(const OpenRun& run, const schedule::RunState& state) const;
  // HostToAvoid anew for the runs that may avoid one.
  void RefreshAvoidedHosts();
  // What is said of the agent's host, into the scheduler's view.
  void RefreshHostStatus(const std::string& agent_id);
  void RefreshAllHostStatus();
  // The host gets nothing until SetBackoffs has said for how long.
  void BackOffUntilJudged(const store::Attempt& attempt);
  // The agent gets runs and has the slots and the data for this one.
  bool CouldRun(const schedule::AgentState& agent, const schedule::RunState& run) const;
  // Whether some agent of that root has the slots and the data for the run.
  bool CouldRunUnder(const std::string& root_id, const schedule::RunState& run) const;
  // An agent came or went, was drained, or has other datasets.
  void RefreshPlaces();
  void RefreshDuration(int64_t run_id);
  // LEASED runs on the slot of a one-rank run; 0: it has none, or several.
  int32_t SharersOf(const schedule::RunState& run) const;
  // Learns from a pace; one taken while others came or went says nothing about sharing.
  void Measured(OpenRun& run, double tokens_per_second);

  // The limits of the row's sweep and what its ended attempts have used.
  void RememberLimits(const store::RunRow& row);
  // Why a limit forbids this waiting run, as far as is known without the time; empty: none does.
  std::string LimitOf(const store::RunRow& row) const;

  const int64_t lease_ns_;
  std::map<int64_t, OpenRun> runs_;
  std::map<int64_t, schedule::SweepLimits> limits_;   // of sweeps that have one
  std::map<int64_t, std::string> used_up_;            // sweep -> why nothing of it may start
  std::map<std::string, std::set<int64_t>> held_by_;  // agent -> LEASED runs
  std::map<int64_t, std::set<int64_t>> dependents_;   // run -> PENDING runs that need it
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
