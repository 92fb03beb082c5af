// Where a run finds room: whole slots, shared ones, what is held, kept or emptied for it.
#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "coordinator/schedule/capacity_index.h"

namespace allometry::schedule {

const CapacityIndex::Group* CapacityIndex::GroupFor(const Need& need) const {
  const auto found = groups_.find({need.device, need.dataset_hash});
  return found == groups_.end() || found->second.pools.empty() ? nullptr : &found->second;
}

std::vector<Pool*>::const_iterator CapacityIndex::PlaceOf(const Group& group,
                                                          const std::string& agent_id) {
  return std::lower_bound(
      group.pools.begin(), group.pools.end(), agent_id,
      [](const Pool* pool, const std::string& id) { return pool->agent().agent_id < id; });
}

int64_t CapacityIndex::MemoryAsked(const Group& group, const Need& need) {
  return *group.memories.rbegin() >= need.memory_bytes ? need.memory_bytes : 0;
}

bool CapacityIndex::IsWhereItMay(const Pool& pool, const Need& need) {
  if (!need.avoided_host.empty() && pool.agent().host == need.avoided_host) return false;
  return need.root_id.empty() || pool.agent().run_root_id == need.root_id;
}

int64_t CapacityIndex::MemoryAsked(const Need& need) const {
  const Group* group = GroupFor(need);
  return group == nullptr ? need.memory_bytes : MemoryAsked(*group, need);
}

Pool* CapacityIndex::Reserved(const Group& group, const std::string& root) const {
  if (!reservation_.has_value()) return nullptr;
  const AgentState& agent = reservation_->pool->agent();
  if (!root.empty() && agent.run_root_id != root) return nullptr;
  const auto found = PlaceOf(group, agent.agent_id);
  return found != group.pools.end() && *found == reservation_->pool ? *found : nullptr;
}

std::vector<bool> CapacityIndex::ReservedAgainst(const RunState& run) const {
  const bool lent = reservation_->backfill && run.duration <= reservation_->ready;
  return lent ? std::vector<bool>(reservation_->held.size(), false) : reservation_->held;
}

double CapacityIndex::BacklogTime(SlotKind kind, double work) const {
  const auto group = groups_.find({kind, ""});
  if (group == groups_.end() || group->second.slots == 0)
    return std::numeric_limits<double>::infinity();
  // A sum that is kept and one that is made anew differ by roundings.
  constexpr double kRoundings = 1e-6;
  return (1 + kRoundings) * work / static_cast<double>(group->second.slots);
}

std::optional<SlotChoice> CapacityIndex::Find(const RunState& run, const Need& need,
                                              double backlog_time) const {
  const Group* group = GroupFor(need);
  if (group == nullptr) return std::nullopt;
  const int64_t memory = MemoryAsked(*group, need);
  std::optional<SlotChoice> choice;
  if (!run.checkpoint_root_id.empty()) {
    choice = FindWhole(*group, run.checkpoint_root_id, run, need, memory);
  }
  const bool anywhere = need.root_id.empty();
  if (!choice.has_value() && anywhere) choice = FindWhole(*group, "", run, need, memory);
  if (choice.has_value() || need.ranks > 1 || need.max_sharers <= 1 ||
      run.duration > backlog_time) {
    return choice;
  }
  if (!run.checkpoint_root_id.empty()) {
    choice = FindShared(*group, run.checkpoint_root_id, run, need, backlog_time);
  }
  if (!choice.has_value() && anywhere) choice = FindShared(*group, "", run, need, backlog_time);
  return choice;
}

std::optional<SlotChoice> CapacityIndex::FindWhole(const Group& group, const std::string& root,
                                                   const RunState& run, const Need& need,
                                                   int64_t memory) const {
  const auto index = group.indices.find(root);
  if (index == group.indices.end()) return std::nullopt;
  Pool* best = nullptr;
  std::vector<size_t> places;
  const std::set<ByFree>& by_free = index->second.free;
  for (auto it = by_free.lower_bound({need.ranks, nullptr}); it != by_free.end(); ++it) {
    if (it->pool->memory_bytes() < memory || !IsWhereItMay(*it->pool, need)) continue;
    best = it->pool;
    places = best->FreePlaces({});
    break;
  }
  Pool* reserved = Reserved(group, root);
  if (reserved != nullptr && IsWhereItMay(*reserved, need)) {
    std::vector<size_t> usable = reserved->FreePlaces(ReservedAgainst(run));
    const bool fits =
        usable.size() >= static_cast<size_t>(need.ranks) && reserved->memory_bytes() >= memory;
    const size_t usable_count = usable.size(), best_count = places.size();
    if (fits && (best == nullptr || std::tie(usable_count, reserved->agent().agent_id) <
                                        std::tie(best_count, best->agent().agent_id))) {
      best = reserved;
      places = std::move(usable);
      // Those that nobody waits for go first.
      std::stable_partition(places.begin(), places.end(),
                            [&](size_t place) { return !reservation_->held[place]; });
    }
  }
  if (best == nullptr) return std::nullopt;
  return SlotChoice{best, best->OnFewestHosts(std::move(places), need.ranks)};
}

std::optional<SlotChoice> CapacityIndex::FindShared(const Group& group, const std::string& root,
                                                    const RunState& run, const Need& need,
                                                    double backlog_time) const {
  const auto index = group.indices.find(root);
  if (index == group.indices.end()) return std::nullopt;
  Pool* reserved = Reserved(group, root);
  if (reserved != nullptr && !IsWhereItMay(*reserved, need)) reserved = nullptr;
  const std::vector<bool> kept = reserved == nullptr ? std::vector<bool>() : ReservedAgainst(run);
  size_t most = index->second.sharing.size();
  if (reserved != nullptr) {
    most = std::max(most, static_cast<size_t>(reserved->most_runs()));
  }
  most = std::min(most, static_cast<size_t>(need.max_sharers));
  for (size_t users = 1; users < most; ++users) {
    Pool* best = nullptr;
    std::optional<size_t> place;
    if (users < index->second.sharing.size()) {
      // By the roomiest place of each pool, which may be one that is left alone.
      for (const ByMemory& next : index->second.sharing[users]) {
        if (!IsWhereItMay(*next.pool, need)) continue;
        if (best != nullptr && next.memory_left < best->places()[*place].memory_left) break;
        const std::optional<size_t> other = next.pool->RoomiestWith(users, backlog_time, {});
        if (!other.has_value()) continue;
        const ByMemory own{next.pool->places()[*other].memory_left, next.pool};
        if (best != nullptr && !(own < ByMemory{best->places()[*place].memory_left, best}))
          continue;
        best = next.pool;
        place = other;
      }
    }
    if (reserved != nullptr) {
      const std::optional<size_t> own = reserved->RoomiestWith(users, backlog_time, kept);
      if (own.has_value() &&
          (best == nullptr || ByMemory{reserved->places()[*own].memory_left, reserved} <
                                  ByMemory{best->places()[*place].memory_left, best})) {
        best = reserved;
        place = own;
      }
    }
    if (best == nullptr ||
        MayJoin(best->places()[*place], need, run.duration, backlog_time) != Refusal::kNone) {
      continue;
    }
    return SlotChoice{best, {*place}};
  }
  return std::nullopt;
}

std::vector<const RunState*> CapacityIndex::Victims(const RunState& run, const Need& need,
                                                    int64_t started_by_ns, int32_t lowest) const {
  const Group* group = GroupFor(need);
  if (group == nullptr) return {};
  const int64_t memory = MemoryAsked(*group, need);
  const auto cost = [](const std::vector<const RunState*>& victims) {
    int32_t highest = std::numeric_limits<int32_t>::min();
    for (const RunState* victim : victims) highest = std::max(highest, victim->priority);
    return std::make_pair(victims.size(), highest);
  };
  std::vector<const RunState*> best;
  for (Pool* pool : group->pools) {
    if (pool->width() < need.ranks || pool->memory_bytes() < memory) continue;
    if (!IsWhereItMay(*pool, need)) continue;
    const bool is_reserved = reservation_.has_value() && reservation_->pool == pool;
    std::vector<const RunState*> victims =
        pool->Victims(need.ranks, run.priority, started_by_ns,
                      is_reserved ? reservation_->held : std::vector<bool>());
    if (victims.empty()) continue;
    if (best.empty() || cost(victims) < cost(best)) best = std::move(victims);
    if (best.size() == 1 && best.front()->priority == lowest) break;
  }
  return best;
}

bool CapacityIndex::Reserve(const RunState& run, const Need& need, bool backfill) {
  ALLO_CHECK(!reservation_.has_value()) << "for run " << reservation_->run_id;
  const Group* group = GroupFor(need);
  if (group == nullptr) return false;
  const int64_t memory = MemoryAsked(*group, need);
  const Pool* best = nullptr;
  double ready = 0;
  for (Pool* pool : group->pools) {
    if (pool->width() < need.ranks || pool->memory_bytes() < memory) continue;
    if (!IsWhereItMay(*pool, need)) continue;
    const double soonest = pool->SoonestFree(need.ranks);
    if (best != nullptr && soonest >= ready) continue;
    best = pool;
    ready = soonest;
  }
  if (best == nullptr) return false;
  RemoveFromIndices(EntryOf(*best));
  Reservation reservation;
  reservation.run_id = run.run_id;
  reservation.pool = best;
  reservation.held.assign(best->places().size(), false);
  for (const size_t place : best->SoonestPlaces(need.ranks)) reservation.held[place] = true;
  reservation.ready = ready;
  reservation.backfill = backfill;
  reservation_ = std::move(reservation);
  return true;
}

void CapacityIndex::Unreserve() {
  if (!reservation_.has_value()) return;
  Entry& entry = EntryOf(*reservation_->pool);
  reservation_.reset();
  AddToIndices(entry);
}

void CapacityIndex::BlockSharing(const Need& need, size_t count) {
  const Group* group = GroupFor(need);
  if (group == nullptr || group->shared == 0) return;
  const int64_t memory = MemoryAsked(*group, need);
  struct Soon {
    double ends;
    size_t order;  // of two that end together
    Pool* pool;
    size_t place;
    bool operator<(const Soon& other) const {
      return std::tie(ends, order) < std::tie(other.ends, other.order);
    }
  };
  std::vector<Soon> soonest;
  for (Pool* pool : group->pools) {
    if (pool->memory_bytes() < memory || !IsWhereItMay(*pool, need)) continue;
    for (size_t i = 0; i < pool->places().size(); ++i) {
      const Place& place = pool->places()[i];
      if (!place.sharing_blocked) soonest.push_back({place.ends, soonest.size(), pool, i});
    }
  }
  if (count < soonest.size()) {
    const auto end = soonest.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(soonest.begin(), end, soonest.end());
    soonest.erase(end, soonest.end());
  }
  for (const Soon& soon : soonest) {
    soon.pool->SetSharingBlocked(soon.place, true);
    sharing_blocked_.emplace_back(soon.pool, soon.place);
  }
}

bool CapacityIndex::MayShare(const Need& need) const {
  const Group* group = GroupFor(need);
  return group != nullptr && group->shared > 0;
}

void CapacityIndex::UnblockSharing() {
  for (const auto& [pool, place] : sharing_blocked_) pool->SetSharingBlocked(place, false);
  sharing_blocked_.clear();
}

std::vector<const Pool*> CapacityIndex::PoolsFor(const Need& need) const {
  const Group* group = GroupFor(need);
  std::vector<const Pool*> pools;
  if (group == nullptr) return pools;
  for (Pool* pool : group->pools) {
    if (IsWhereItMay(*pool, need)) pools.push_back(pool);
  }
  return pools;
}

}  // namespace allometry::schedule
