// Which waiting run starts now, and on which slots. Pure: the same state, time and options give the
// same decision. Every run that waits, shares a device or is stopped gets a reason in a sentence.
//
// Order. Higher priority first. Within a priority, the sweep that holds the fewest slots goes first
// (fair share): the count is updated after each assignment, and a run that shares a slot counts as
// one slot. Within a sweep, tuning runs (RunState::ahead) go first. Then runs are compared by
//   1. expected duration x ranks, rounded down to a power of two; larger first
//   2. ranks; more first
//   3. expected duration, then remaining FLOPs; larger first
//   4. run id; smaller first.
// Large runs go before small ones because list scheduling in that order ends within 4/3 of the best
// makespan (Graham 1969). Wide runs go before narrow ones of similar work because narrow runs fill
// the slots that are left over.
//
// Gangs. A gang is a run of k > 1 ranks. It starts on k free slots of one worker at once, or not at
// all. The first gang that cannot start now, although some worker has k slots, gets a reservation
// (EASY backfilling, Lifka 1995): the k slots of the worker where they come free soonest are held.
// A later run may use a held slot only if it is expected to end before the gang can start. A gang
// that has waited `gang_patience_ns` is tried before every other run of its priority, longest wait
// first, and the slots reserved for it are no longer lent. So neither wrong expectations nor other
// sweeps make a gang wait for ever.
//
// Long runs. A run is longer than the backlog when its expected duration exceeds the time that all
// open work of its device kind takes on all slots of that kind. Such runs are tried before
// everything else of their priority, gangs that have waited long included, in the order above: the
// sweep ends when the longest run does. Together they are less work than the backlog, so there are
// fewer of them than slots, and no gang waits for ever. After the gangs that have waited long, runs
// longer than the backlog divided by kRuntimeMargin (pool.h) are tried, because expectations are
// not exact. A sweep with a waiting tuning run keeps its own order.
//
// Where. A run that is bound to the run root of its checkpoint starts there or waits. A run that
// avoids a host starts elsewhere or waits. Among the workers that can start a run now: first one
// that holds its newest checkpoint, then the worker with the fewest free slots left (whole workers
// stay free for gangs), then the smallest id. A slot must have the memory that a rank is known to
// need; if no slot is that large, any slot will do, because only the attempt can tell then.
//
// Sharing. A one-rank run that finds no free slot may join one-rank runs on a slot (pool.h,
// MayJoin) if the slot takes that many runs, their memory fits, and that many together were not
// measured to be slower than one fewer. A run that is longer than the backlog shares with nobody.
// For each long run that waits at this priority or a higher one, the slot that is expected to empty
// soonest takes no further run: otherwise new small runs would take that slot each time one ends,
// and the long run would never start. Of the remaining slots: first one at the run's newest
// checkpoint, then the fewest runs on it, then the most memory left, then the smallest worker id.
// Gangs never share.
//
// Drained workers keep their runs and get no new ones. A worker on probation
// (AgentState::probation) gets a run only while it has none, and no run is stopped there to make
// room: one attempt shows whether its host works again. A blocked run (RunState::blocked) is
// skipped, and its own reason is reported.
//
// Preemption. Decision::preemptions names LEASED runs that should stop so that a run of a higher
// priority can start. They are named only if that start needs nothing else. On one worker the
// fewest runs are chosen, then those of the lowest priority, then the youngest. The caller asks
// each to stop (it writes a checkpoint and ends as PREEMPTED), with a deadline, and sets
// RunState::stopping until its attempt has ended. While any run is stopping, no other is asked. No
// run is asked within `min_run_ns` of its start. A gang asks only when the reservation is its own,
// and the reservation then stays on the slots that are being emptied. So a run that was stopped has
// always done `min_run_ns` of work since its last start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/schedule/cluster_state.h"

namespace allometry::schedule {

struct Options {
  int64_t gang_patience_ns = 600'000'000'000;
  bool preempt = true;
  int64_t min_run_ns = 60'000'000'000;
  int max_preemptions = 16;  // runs that one decision makes room for
};

struct Assignment {
  int64_t run_id = 0;
  std::string agent_id;
  std::vector<v1::Slot> slots;  // in rank order
  // "shares cuda:0 of host-a with 1 run: 2 of at most 4, 3.0 of 8.0 GiB". Empty: the run shares its
  // slots with nobody.
  std::string reason;
};

// A LEASED run to be stopped, so that another can start.
struct Preemption {
  int64_t run_id = 0;
  std::string reason;  // "makes room for run 12, which has priority 5 against 0"
};

struct Decision {
  std::vector<Assignment> assignments;  // in the order to be made
  std::vector<Preemption> preemptions;
};

// Builds the indices from scratch; Scheduler::Decide gives the same decision from the indices that
// it keeps. `now_ns` is on the boot clock.
Decision Decide(const ClusterState& state, int64_t now_ns, const Options& options = {});

}  // namespace allometry::schedule
