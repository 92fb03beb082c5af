// When a set of runs will be done: the coordinator's own scheduler (coordinator/schedule), played
// on a clock that jumps from one event to the next.
//
// What is decided, and in which order, is schedule::Scheduler's to say; this file only lets time
// pass. Left out of the play are priorities, other sweeps and runs that share a device: a plan is
// for one sweep alone on its workers. A run that starts from another's checkpoint waits until that
// is written, and is planned, as in the coordinator, with the run before it: what waits for a run
// that waits itself ends after both.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/choices.h"

namespace allometry::cost {

struct WorkerSlots {
  std::string host;
  run::DeviceKind kind = run::DeviceKind::kCpu;  // of its devices
  int slots = 0;
  double memory_bytes = 0;  // of a device, or of the host divided by its slots; 0: not known
};

struct RunToPlace {
  int ranks = 1;
  run::DeviceKind kind = run::DeviceKind::kCpu;
  double seconds = 0;        // from its start, or from now where it runs already
  int after = -1;            // place of the run whose checkpoint it starts from; -1: none
  double after_seconds = 0;  // from that run's start until the checkpoint is there
  int runs_on = -1;          // place of the worker that it runs on already; -1: it waits
  bool ahead = false;        // a tuning run, which others wait for
  double memory_bytes = 0;   // of one rank; 0: not known
};

// Seconds until the last run has ended; unset when one can never start. `allo watch` asks for it
// with every message (eta.h).
std::optional<double> Makespan(const std::vector<RunToPlace>& runs,
                               const std::vector<WorkerSlots>& workers);

}  // namespace allometry::cost
