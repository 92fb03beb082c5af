#include "coordinator/schedule/capacity_index.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace allometry::schedule {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();

}  // namespace

bool CapacityIndex::ByFree::operator<(const ByFree& other) const {
  if (free != other.free) return free < other.free;
  if (pool == nullptr || other.pool == nullptr) return pool == nullptr && other.pool != nullptr;
  return pool->agent().agent_id < other.pool->agent().agent_id;
}

bool CapacityIndex::ByMemory::operator<(const ByMemory& other) const {
  if (memory_left != other.memory_left) return memory_left > other.memory_left;
  return pool->agent().agent_id < other.pool->agent().agent_id;
}

// --- Pools and indices ---

void CapacityIndex::PutAgent(const AgentState& agent) {
  RemoveAgent(agent.agent_id);
  if (!agent.live || !agent.drained.empty()) return;
  std::set<SlotKind> kinds;
  for (const v1::Slot& slot : agent.slots) kinds.insert(KindOf(slot));
  kinds.erase(std::nullopt);
  for (const SlotKind kind : kinds) {
    Entry& entry = pools_[{agent.agent_id, kind}];
    entry.pool = std::make_unique<Pool>(agent, kind);
    std::set<std::string> hashes = agent.dataset_hashes;
    hashes.insert("");
    for (const std::string& hash : hashes) {
      Group& group = groups_[{kind, hash}];
      group.pools.insert(PlaceOf(group, agent.agent_id), entry.pool.get());
      group.memories.insert(entry.pool->memory_bytes());
      group.slots += entry.pool->width();
      group.shared += entry.pool->most_runs() > 1;
      entry.groups.push_back(&group);
      entry.indices.push_back(&group.indices[""]);
      if (!agent.run_root_id.empty()) entry.indices.push_back(&group.indices[agent.run_root_id]);
    }
    AddToIndices(entry);
  }
}

void CapacityIndex::RemoveAgent(const std::string& agent_id) {
  auto it = pools_.lower_bound({agent_id, std::nullopt});
  while (it != pools_.end() && it->first.first == agent_id) {
    Entry& entry = it->second;
    RemoveFromIndices(entry);
    for (Group* group : entry.groups) {
      group->pools.erase(PlaceOf(*group, agent_id));
      group->memories.erase(group->memories.find(entry.pool->memory_bytes()));
      group->slots -= entry.pool->width();
      group->shared -= entry.pool->most_runs() > 1;
    }
    if (reservation_.has_value() && reservation_->pool == entry.pool.get()) reservation_.reset();
    it = pools_.erase(it);
  }
}

void CapacityIndex::AddToIndices(Entry& entry) {
  ALLO_CHECK(!entry.indexed) << entry.pool->agent().agent_id;
  Pool* pool = entry.pool.get();
  entry.indexed = true;
  entry.free = pool->free();
  entry.sharing.clear();
  for (size_t users = 1; users < static_cast<size_t>(pool->most_runs()); ++users) {
    const std::optional<size_t> place = pool->RoomiestWith(users, kForever, {});
    if (place.has_value()) entry.sharing.emplace_back(users, pool->places()[*place].memory_left);
  }
  for (PoolIndex* index : entry.indices) {
    if (entry.free > 0) index->free.insert({entry.free, pool});
    for (const auto& [users, memory_left] : entry.sharing) {
      if (index->sharing.size() <= users) index->sharing.resize(users + 1);
      index->sharing[users].insert({memory_left, pool});
    }
  }
}

void CapacityIndex::RemoveFromIndices(Entry& entry) {
  if (!entry.indexed) return;
  entry.indexed = false;
  for (PoolIndex* index : entry.indices) {
    if (entry.free > 0) index->free.erase({entry.free, entry.pool.get()});
    for (const auto& [users, memory_left] : entry.sharing) {
      index->sharing[users].erase({memory_left, entry.pool.get()});
    }
  }
}

CapacityIndex::Entry* CapacityIndex::FindEntry(const std::string& agent_id,
                                               absl::Span<const v1::Slot> slots) {
  if (slots.empty()) return nullptr;
  const auto found = pools_.find({agent_id, KindOf(slots.front())});
  return found == pools_.end() ? nullptr : &found->second;
}

CapacityIndex::Entry& CapacityIndex::EntryOf(const Pool& pool) {
  return pools_.at({pool.agent().agent_id, KindOf(pool.places().front().slot)});
}

// --- Users ---

template <class Change>
void CapacityIndex::Reindexed(Entry& entry, Change change) {
  const bool indexed = entry.indexed;
  RemoveFromIndices(entry);
  change(*entry.pool);
  if (indexed) AddToIndices(entry);
}

template <class Change>
void CapacityIndex::AtEach(const std::string& agent_id, absl::Span<const v1::Slot> slots,
                           Change change) {
  Entry* entry = FindEntry(agent_id, slots);
  if (entry == nullptr) return;
  Reindexed(*entry, [&](Pool& pool) {
    for (const v1::Slot& slot : slots) {
      const std::optional<size_t> place = pool.Find(slot);
      if (place.has_value()) change(pool, *place);
    }
  });
}

void CapacityIndex::Add(const RunState& run, const std::string& agent_id,
                        absl::Span<const v1::Slot> slots) {
  AtEach(agent_id, slots, [&](Pool& pool, size_t place) { pool.Add(place, run); });
}

void CapacityIndex::Remove(const RunState& run, const std::string& agent_id,
                           absl::Span<const v1::Slot> slots) {
  AtEach(agent_id, slots, [&](Pool& pool, size_t place) { pool.Remove(place, run); });
}

void CapacityIndex::Refresh(const RunState& run) {
  Entry* entry = FindEntry(run.placement->agent_id, run.placement->slots);
  if (entry == nullptr) return;
  // What depends on a run's expected time is on no index.
  for (const v1::Slot& slot : run.placement->slots) {
    const std::optional<size_t> place = entry->pool->Find(slot);
    if (place.has_value()) entry->pool->Refresh(*place);
  }
}

void CapacityIndex::Take(const RunState& run, const SlotChoice& choice) {
  Reindexed(EntryOf(*choice.pool), [&](Pool& pool) {
    for (const size_t place : choice.places) pool.Add(place, run);
  });
}

void CapacityIndex::GiveBack(const RunState& run, const SlotChoice& choice) {
  Reindexed(EntryOf(*choice.pool), [&](Pool& pool) {
    for (const size_t place : choice.places) pool.Remove(place, run);
  });
}

void CapacityIndex::SetAsked(const RunState& victim, bool asked) {
  AtEach(victim.placement->agent_id, victim.placement->slots,
         [&](Pool& pool, size_t place) { pool.SetAsked(place, asked); });
}

}  // namespace allometry::schedule
