// Which waiting run starts now, and where. Pure: the same state, time and options give the same
// decision, and there is a reason in a sentence for every run that waits, shares or is stopped.
//
// Order. Priority first; within a priority the sweep that holds the fewest slots goes first (fair
// share, counted anew after each assignment; a run that shares a slot counts as one); within a
// sweep a run that others wait for (`ahead`), then the run with the most work (expected duration x
// ranks, by octave), then the most ranks, then the longest duration, then the most remaining FLOPs,
// then the smallest id. Large before small, because list scheduling is then within 4/3 of the best
// makespan (Graham 1969); of similar work the wide ones first, because narrow ones fill what is
// left and end a sweep evenly.
//
// Gangs. A run of k ranks starts on k free slots of one worker at once, or not at all. The first
// run in order that no worker can start now, though one has slots enough, gets a reservation (EASY
// backfilling, Lifka 1995): on the worker where its k slots come free soonest, those are held. A
// later run takes a held slot only if it is expected to end no later than the last of the runs that
// the gang waits for. Gangs that have waited `gang_patience_ns` are tried before every other run of
// their priority, in the order of their waiting, and the slots reserved for one of them are not
// lent any more, so that neither wrong expectations nor other sweeps starve it. Slots that are not
// held are free to all.
//
// Last ones. Runs that are expected to take longer than all the open work of their kind would on
// all its slots are tried before everything of their priority, those gangs too, in the order above:
// all ends when the longest does, and after a crash it would wait for the turn of its sweep, or for
// thousands of gangs. There are always fewer of them than slots, because together they are less
// than all the work: they do not starve a gang. After the gangs that waited long, the long ones are
// tried (pool.h, kRuntimeMargin): expectations are not exact. A sweep where a run is ahead keeps
// its order.
//
// Where. A run that is bound to its checkpoint's run root goes there or waits; one that avoids a
// host goes elsewhere or waits. Otherwise, of the
// workers that can start a run now: one that holds its newest checkpoint, then the
// one with the fewest free slots left (keeps whole workers free for gangs), then the smallest id.
// A slot must have the memory that a rank is known to need; where no slot is that large, any will
// do, because only the attempt can tell then.
//
// Sharing. A one-rank run that finds no free slot joins one-rank runs on a slot (pool.h, MayJoin):
// the slot takes so many runs, their memory fits, and so many together were not measured to be
// slower than one fewer. A last one stays alone, because sharing slows it down; for each long
// one that waits at this priority or a higher one, the slot that is empty soonest is joined by
// nobody: otherwise one would come whenever another ends, and no slot would ever be empty. Of the
// slots that are left: one at its newest checkpoint, then the fewest runs on it, then the most
// memory left, then the smallest worker id. Gangs never share.
//
// Drained workers keep what they run and get nothing new. A worker on probation
// (AgentState::probation) gets a run only when it has none: one attempt shows whether its host is
// mended, and no run is asked to make room there. A blocked run (RunState::blocked) is
// skipped as if it were not there, and its reason is the one given.
//
// Preemption. Decision::preemptions names LEASED runs that should end so that a run of a higher
// priority can start, only when its start needs nothing else: on one worker the fewest, then those
// of the lowest priority, then the youngest. What to do with it: ask each to stop (a checkpoint,
// then PREEMPTED), with a deadline, and set RunState::stopping from that moment until its attempt
// has ended. While any run is stopping, preempted or cancelled, no other is asked; none is asked
// that started less than `min_run_ns` ago; a gang asks only when the reservation is its own, which
// then stays on the slots that are being emptied. So nothing thrashes: a victim has done
// `min_run_ns` of work before it can be one again, and its slot goes by priority.
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
  // "shares cuda:0 of host-a with 1 run: 2 of at most 4, 3.0 of 8.0 GiB"; empty: has its slots for
  // itself.
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

// From scratch; scheduler.h answers the same from what it keeps. `now_ns` on the boot clock.
Decision Decide(const ClusterState& state, int64_t now_ns, const Options& options = {});

}  // namespace allometry::schedule
