#include "coordinator/scheduler/reasons.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::scheduler {
namespace {

std::string SlotsOf(int count) { return absl::StrCat(count, count == 1 ? " slot" : " slots"); }

std::string NoData(const RunState& run) {
  return absl::StrFormat(
      "waiting: no worker has dataset %s (%s); put it into a worker's data directory", run.dataset,
      run.dataset_hash.substr(0, 8));
}

std::string TooWide(const RunState& run, int largest) {
  if (largest == 0) {
    return absl::StrFormat("waiting: no worker with its dataset has a %s slot", run.device);
  }
  return absl::StrFormat("can never start: needs %s, the largest worker has %d", SlotsOf(run.ranks),
                         largest);
}

// Of the workers that could run the gang, the one where it can start soonest.
std::string WaitsForSlots(const RunState& run, const Slots& slots) {
  Slots::Reservation best;
  for (const Slots::Worker& worker : slots.workers()) {
    if (!slots.CouldRun(worker, run)) continue;
    const Slots::Reservation soonest = slots.Soonest(worker, run);
    if (best.worker == nullptr || soonest.ready < best.ready) best = soonest;
  }
  const int free = Slots::CountFree(*best.worker, run);
  std::string reason = absl::StrFormat("waiting: needs %s on one worker; %s has ",
                                       SlotsOf(run.ranks), best.worker->agent->host);
  if (free >= run.ranks && slots.reservation().has_value()) {
    // Only held ones keep a run from slots that are free.
    absl::StrAppend(&reason, free, " free, held for run ", slots.reservation()->run_id);
  } else if (free == 0) {
    absl::StrAppend(&reason, "none free until run ", best.last_user, " ends");
  } else {
    absl::StrAppend(&reason, free, " free until run ", best.last_user, " ends");
  }
  return reason;
}

std::string WaitsForOneSlot(const RunState& run, const Slots& slots) {
  int busy = 0;
  const Slots::Worker* with_free = nullptr;
  for (const Slots::Worker& worker : slots.workers()) {
    if (!slots.CouldRun(worker, run)) continue;
    const int free = Slots::CountFree(worker, run);
    busy += Slots::Count(worker, run) - free;
    if (free > 0) with_free = &worker;
  }
  if (with_free != nullptr && slots.reservation().has_value()) {
    return absl::StrFormat("waiting: the free slot of %s is held for run %d, which needs several",
                           with_free->agent->host, slots.reservation()->run_id);
  }
  return absl::StrFormat("waiting: no slot is free, %d %s busy", busy, busy == 1 ? "is" : "are");
}

}  // namespace

std::string WhyItWaits(const RunState& run, const Slots& slots) {
  if (slots.workers().empty()) {
    if (slots.drained() != nullptr) {
      return absl::StrFormat("waiting: %s gets no runs: %s", slots.drained()->host,
                             slots.drained()->drained);
    }
    return "waiting: no worker is connected; start one with 'allo worker'";
  }
  bool data = false, could_run = false;
  int largest = 0;
  for (const Slots::Worker& worker : slots.workers()) {
    if (!Slots::HasData(worker, run)) continue;
    data = true;
    largest = std::max(largest, Slots::Count(worker, run));
    could_run = could_run || slots.CouldRun(worker, run);
  }
  if (!data) return NoData(run);
  if (!could_run) return TooWide(run, largest);
  return run.ranks > 1 ? WaitsForSlots(run, slots) : WaitsForOneSlot(run, slots);
}

}  // namespace allometry::scheduler
