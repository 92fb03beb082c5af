// Which waiting run starts now, and where. Pure: the same state, time and options give the same
// decision, and every run that waits gets the reason in a sentence for people.
//
// Order. Priority first; within a priority the sweep that holds the fewest slots goes first (fair
// share, counted anew after each assignment); within a sweep the run with the most ranks, then the
// longest expected duration, then the most remaining FLOPs, then the smallest id. Wide runs first,
// because narrow ones fill what is left and end a sweep evenly; long before short, because list
// scheduling is then within 4/3 of the best makespan (Graham 1969).
//
// Gangs. A run of k ranks starts on k free slots of one worker at once, or not at all. The first
// run in order that no worker can start now, though one has slots enough, gets a reservation (EASY
// backfilling, Lifka 1995): on the worker where its k slots come free soonest, those are held. A
// later run takes a held slot only if it is expected to end no later than the last of the runs that
// the gang waits for. A gang that has waited `gang_patience_ns` goes before every other run of its
// priority and its slots are not lent any more, so that neither wrong expectations nor other sweeps
// starve it. Slots that are not held are free to all.
//
// Where. Of the workers that can start a run now: one that holds its newest checkpoint, then the
// one with the fewest free slots left (keeps whole workers free for gangs), then the smallest id.
//
// Drained workers keep what they run and get nothing new. A blocked run (RunState::blocked) is
// skipped as if it were not there, and its reason is the one given.
//
// Preemption. Decision::preemptions names LEASED runs that should end so that a run of a higher
// priority can start: ask each to stop (a checkpoint, then PREEMPTED), with a deadline, and set
// RunState::stopping from that moment until its attempt has ended. While any run is stopping no
// other is asked, and none that started less than `min_run_ns` ago, so that nothing thrashes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/scheduler/cluster_state.h"

namespace allometry::scheduler {

struct Options {
  int64_t gang_patience_ns = 600'000'000'000;
  int64_t min_run_ns = 60'000'000'000;  // younger attempts are not preempted
};

struct Assignment {
  int64_t run_id = 0;
  std::string agent_id;
  std::vector<v1::Slot> slots;  // in rank order
};

struct Waiting {
  int64_t run_id = 0;
  std::string
      reason;  // "waiting: needs 2 slots on one worker; host-a has 1 free until run 17 ends"
};

// A LEASED run to be stopped, so that another can start.
struct Preemption {
  int64_t run_id = 0;
  std::string reason;  // "makes room for run 12, priority 5 over 0"
};

struct Decision {
  std::vector<Assignment> assignments;  // in the order to be made
  std::vector<Preemption> preemptions;
  std::vector<Waiting> waiting;  // every PENDING run not assigned, by run_id
};

// `now_ns` on the boot clock.
Decision Decide(const ClusterState& state, int64_t now_ns, const Options& options = {});

}  // namespace allometry::scheduler
