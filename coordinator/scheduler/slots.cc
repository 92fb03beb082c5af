#include "coordinator/scheduler/slots.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace allometry::scheduler {

Slots::Slots(const ClusterState& state) : state_(state) {
  std::map<std::string, size_t> places;
  for (const auto& [agent_id, agent] : state.agents) {
    if (!agent.live) continue;
    if (!agent.drained.empty()) {
      drained_ = &agent;
      continue;
    }
    places[agent_id] = workers_.size();
    Worker worker;
    worker.agent = &agent;
    for (const v1::Slot& slot : agent.slots) worker.kinds.push_back(DeviceKind(slot));
    worker.users.assign(agent.slots.size(), kFree);
    worker.held.assign(agent.slots.size(), false);
    free_ += static_cast<int>(agent.slots.size());
    workers_.push_back(std::move(worker));
  }
  for (const auto& [run_id, run] : state.runs) {
    if (!run.placement.has_value()) continue;
    const auto place = places.find(run.placement->agent_id);
    if (place == places.end()) continue;
    Worker& worker = workers_[place->second];
    for (const v1::Slot& slot : run.placement->slots) {
      for (size_t i = 0; i < worker.users.size(); ++i) {
        const v1::Slot& own = worker.agent->slots[i];
        if (own.host() != slot.host() || own.device() != slot.device()) continue;
        if (worker.users[i] == kFree) --free_;
        worker.users[i] = run_id;
      }
    }
  }
}

bool Slots::HasData(const Worker& worker, const RunState& run) {
  return run.dataset_hash.empty() || worker.agent->dataset_hashes.count(run.dataset_hash) > 0;
}

int Slots::Count(const Worker& worker, const RunState& run) {
  return static_cast<int>(std::count(worker.kinds.begin(), worker.kinds.end(), run.device));
}

int Slots::CountFree(const Worker& worker, const RunState& run) {
  int free = 0;
  for (size_t i = 0; i < worker.users.size(); ++i) {
    free += worker.users[i] == kFree && worker.kinds[i] == run.device;
  }
  return free;
}

std::vector<size_t> Slots::Usable(const Worker& worker, const RunState& run) const {
  const bool held_too =
      reservation_.has_value() && reservation_->backfill && run.duration <= reservation_->ready;
  std::vector<size_t> usable, held;
  for (size_t i = 0; i < worker.users.size(); ++i) {
    if (worker.users[i] != kFree || worker.kinds[i] != run.device) continue;
    (worker.held[i] ? held : usable).push_back(i);
  }
  if (held_too) usable.insert(usable.end(), held.begin(), held.end());
  return usable;
}

std::optional<Slots::Taken> Slots::Take(const RunState& run) {
  const auto needed = static_cast<size_t>(run.ranks);
  Worker* best = nullptr;
  std::tuple<bool, size_t> best_rank;
  for (Worker& worker : workers_) {
    if (!HasData(worker, run)) continue;
    const size_t usable = Usable(worker, run).size();
    if (usable < needed) continue;
    const bool far =
        run.checkpoint_root_id.empty() || worker.agent->run_root_id != run.checkpoint_root_id;
    const std::tuple<bool, size_t> rank(far, usable - needed);
    if (best == nullptr || rank < best_rank) {
      best = &worker;
      best_rank = rank;
    }
  }
  if (best == nullptr) return std::nullopt;
  Taken taken;
  taken.agent_id = best->agent->agent_id;
  std::vector<size_t> places = Usable(*best, run);
  places.resize(needed);
  std::sort(places.begin(), places.end());
  for (const size_t place : places) {
    best->users[place] = run.run_id;
    taken.slots.push_back(best->agent->slots[place]);
  }
  free_ -= run.ranks;
  return taken;
}

std::vector<std::pair<double, size_t>> Slots::ByTime(const Worker& worker,
                                                     const RunState& run) const {
  std::vector<std::pair<double, size_t>> times;
  for (size_t i = 0; i < worker.users.size(); ++i) {
    if (worker.kinds[i] != run.device) continue;
    const int64_t user = worker.users[i];
    times.emplace_back(user == kFree ? 0 : state_.runs.at(user).duration, i);
  }
  std::sort(times.begin(), times.end());
  return times;
}

Slots::Reservation Slots::Soonest(const Worker& worker, const RunState& run) const {
  const std::vector<std::pair<double, size_t>> times = ByTime(worker, run);
  ALLO_CHECK(static_cast<int>(times.size()) >= run.ranks) << "run " << run.run_id;
  Reservation soonest;
  soonest.run_id = run.run_id;
  soonest.worker = &worker;
  soonest.ready = times[static_cast<size_t>(run.ranks) - 1].first;
  soonest.last_user = worker.users[times[static_cast<size_t>(run.ranks) - 1].second];
  return soonest;
}

bool Slots::Reserve(const RunState& run, bool backfill) {
  Worker* best = nullptr;
  Reservation best_reservation;
  for (Worker& worker : workers_) {
    if (!CouldRun(worker, run)) continue;
    const Reservation reservation = Soonest(worker, run);
    if (best == nullptr || reservation.ready < best_reservation.ready) {
      best = &worker;
      best_reservation = reservation;
    }
  }
  if (best == nullptr) return false;
  const std::vector<std::pair<double, size_t>> times = ByTime(*best, run);
  for (int i = 0; i < run.ranks; ++i) best->held[times[static_cast<size_t>(i)].second] = true;
  best_reservation.backfill = backfill;
  reservation_ = best_reservation;
  return true;
}

}  // namespace allometry::scheduler
