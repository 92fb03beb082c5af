// Indices over the slots of the live workers, so that a decision finds a slot for a run without
// looking at every slot.
//
// A pool is the slots of one kind on one worker. A group is the pools of one kind whose workers
// have one dataset (the hash "" stands for all workers). Within a group, a PoolIndex is the pools
// of one run root (the root "" stands for all of them), ordered by free slots, and by the most
// memory left beside a given number of sharing runs. A pool is in at most four indices for each of
// its datasets and is moved in them when its users change.
//
// There is at most one reservation: the slots of one pool that a gang waits for. The reserved pool
// is in no index and is looked at separately.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/need.h"
#include "coordinator/schedule/pool.h"

namespace allometry::schedule {

// The slots on which a run starts: places of one pool.
struct SlotChoice {
  Pool* pool = nullptr;
  std::vector<size_t> places;  // ascending; a place that has users already is shared
};

// The places that a gang waits for.
struct Reservation {
  int64_t run_id = 0;
  const Pool* pool = nullptr;
  std::vector<bool> held;  // of each place of the pool
  double ready = 0;        // time until the last of them is free, in RunState::duration's unit
  bool backfill = true;    // runs that end by then may use them
};

class CapacityIndex {
 public:
  // Borrows the agent until RemoveAgent. An agent that is not live, or is drained, has no pools.
  void PutAgent(const AgentState& agent);
  void RemoveAgent(const std::string& agent_id);

  // Add and Remove ignore slots of agents without pools.
  void Add(const RunState& run, const std::string& agent_id, absl::Span<const v1::Slot> slots);
  void Remove(const RunState& run, const std::string& agent_id, absl::Span<const v1::Slot> slots);
  void Refresh(const RunState& run);  // a LEASED one

  // --- One decision ---
  // How long `work` (duration x ranks) takes on all slots of a kind; infinity if there are none.
  double BacklogTime(SlotKind kind, double work) const;
  // Where the run can start now, as decide.h says; unset: nowhere.
  std::optional<SlotChoice> Find(const RunState& run, const Need& need, double backlog_time) const;
  void Take(const RunState& run, const SlotChoice& choice);
  void GiveBack(const RunState& run, const SlotChoice& choice);
  // The runs that should stop so that this run can start. Empty: stopping runs does not help.
  // `lowest` is the lowest priority at which a run may be asked; a single run of that priority is
  // the cheapest possible answer.
  std::vector<const RunState*> Victims(const RunState& run, const Need& need, int64_t started_by_ns,
                                       int32_t lowest) const;
  void SetAsked(const RunState& victim, bool asked);
  // Holds the places that come free soonest. False: no pool has enough slots for the run.
  bool Reserve(const RunState& run, const Need& need, bool backfill);
  const std::optional<Reservation>& reservation() const { return reservation_; }
  void Unreserve();
  // For runs that must not share: no further run joins the `count` places that are expected to
  // empty soonest, among those where runs of this need fit and sharing is not blocked yet.
  void BlockSharing(const Need& need, size_t count);
  void UnblockSharing();
  // Whether some slot that fits the need takes several runs.
  bool MayShare(const Need& need) const;

  // --- For reasons ---
  // Pools of the kind with the dataset, by agent.
  std::vector<const Pool*> PoolsFor(const Need& need) const;
  // The memory that a slot must have for this need: what the run needs, or 0 if no slot is that
  // large, because only the attempt can tell then.
  int64_t MemoryAsked(const Need& need) const;

 private:
  struct ByFree {
    int free;
    Pool* pool;  // nullptr: before every pool
    bool operator<(const ByFree& other) const;
  };
  struct ByMemory {
    int64_t memory_left;  // the most stands first
    Pool* pool;
    bool operator<(const ByMemory& other) const;
  };
  struct PoolIndex {
    std::set<ByFree> free;
    std::vector<std::set<ByMemory>> sharing;  // by number of users
  };
  struct Group {
    std::map<std::string, PoolIndex> indices;  // by run root
    std::vector<Pool*> pools;                  // by agent_id; a decision looks through all of them
    std::multiset<int64_t> memories;           // of the pools
    int64_t slots = 0;                         // of the pools
    int64_t shared = 0;                        // pools with a slot that takes several runs
  };
  struct Entry {
    std::unique_ptr<Pool> pool;
    std::vector<Group*> groups;
    std::vector<PoolIndex*> indices;
    // As it stands on each index now.
    bool indexed = false;
    int free = 0;
    std::vector<std::pair<size_t, int64_t>> sharing;  // users -> memory left
  };
  using PoolKey = std::pair<std::string, SlotKind>;   // agent_id, kind
  using GroupKey = std::pair<SlotKind, std::string>;  // kind, dataset hash

  static void AddToIndices(Entry& entry);
  static void RemoveFromIndices(Entry& entry);
  // Changes a pool, and its place on the indices where it stands on them: change(pool).
  template <class Change>
  void Reindexed(Entry& entry, Change change);
  // change(pool, place) for each slot that the agent's pool of their kind has.
  template <class Change>
  void AtEach(const std::string& agent_id, absl::Span<const v1::Slot> slots, Change change);
  Entry* FindEntry(const std::string& agent_id, absl::Span<const v1::Slot> slots);
  Entry& EntryOf(const Pool& pool);
  const Group* GroupFor(const Need& need) const;
  // Where the pool of this agent is, or would stand.
  static std::vector<Pool*>::const_iterator PlaceOf(const Group& group,
                                                    const std::string& agent_id);
  static int64_t MemoryAsked(const Group& group, const Need& need);
  // Of the need's run root, where it names one, and not of the host that it avoids.
  static bool IsWhereItMay(const Pool& pool, const Need& need);
  // Of the indices of one root.
  std::optional<SlotChoice> FindWhole(const Group& group, const std::string& root,
                                      const RunState& run, const Need& need, int64_t memory) const;
  std::optional<SlotChoice> FindShared(const Group& group, const std::string& root,
                                       const RunState& run, const Need& need,
                                       double backlog_time) const;
  // The reserved pool, where it is of this group and root.
  Pool* Reserved(const Group& group, const std::string& root) const;
  // Its places that this run may not take.
  std::vector<bool> ReservedAgainst(const RunState& run) const;

  std::map<PoolKey, Entry> pools_;
  std::map<GroupKey, Group> groups_;  // kept for good, there are as many as datasets
  std::optional<Reservation> reservation_;
  std::vector<std::pair<Pool*, size_t>> sharing_blocked_;
};

}  // namespace allometry::schedule
