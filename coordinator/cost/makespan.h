// When a set of runs will be done, by playing the coordinator's own order of starting them.
//
// As coordinator/schedule/decide.h orders the runs of one sweep: tuning runs, then the most work
// first, by octaves of time x ranks, then the most ranks, then the longest, then the first listed;
// but runs longer than 2/3 of what all open work takes on all slots before those, unless a tuning
// run waits;
// a run of k ranks starts on k free slots of one worker; the first gang that fits nowhere holds the
// slots of the worker where they come free soonest, and only runs that end before that take them. A
// run that starts from another's checkpoint waits until it is written. The planner may not read the
// scheduler, so the order is repeated here, without sharing, priorities and preemption: a plan is
// for one sweep alone on its workers.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace allometry::cost {

struct WorkerSlots {
  std::string host;
  std::string kind = "cpu";  // of its devices
  int slots = 0;
  double memory_bytes = 0;  // of a device, or of the host divided by its slots; 0: not known
};

struct RunToPlace {
  int ranks = 1;
  std::string kind = "cpu";
  double seconds = 0;        // from its start, or from now where it runs already
  int after = -1;            // place of the run whose checkpoint it starts from; -1: none
  double after_seconds = 0;  // from that run's start until the checkpoint is there
  int runs_on = -1;          // place of the worker that it runs on already; -1: it waits
  bool ahead = false;        // a tuning run, which others wait for
};

// Seconds until the last run has ended; unset when one can never start. Quick for ten thousand
// runs: `allo watch` asks for it with every message (eta.h).
std::optional<double> Makespan(const std::vector<RunToPlace>& runs,
                               const std::vector<WorkerSlots>& workers);

}  // namespace allometry::cost
