// The slots of one kind on one worker, and the runs on each. A run finds all its slots in one pool.
//
// Sharing. Several one-rank runs may share a slot; MayJoin is the rule. A gang shares with nobody.
// Memory is counted by RoundedMemory. A slot whose memory is not known has no limit.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/schedule/cluster_state.h"
#include "coordinator/schedule/need.h"

namespace allometry::schedule {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// A run is long when its duration exceeds backlog time / factor. Where slots are shared the factor
// is kSharedSpeedup, because several runs on a slot make about twice the speed of one.
constexpr double kSharedSpeedup = 2;
// Elsewhere it is kRuntimeMargin, because a run may take longer than expected.
constexpr double kRuntimeMargin = 1.5;

struct Place {
  v1::Slot slot;
  std::vector<const RunState*> users;  // LEASED runs, or those that the decision starts here
  bool asked = false;                  // the decision being made asks a user to stop
  bool sharing_blocked =
      false;  // the decision being made lets no further run join, for a long run that waits

  // What follows from the users.
  double ends = 0;  // time until the last user ends; 0 if they stop, or without users
  int64_t memory_left = kNoLimit;  // bytes
  int32_t sharers = 1;             // the most users that the slot and each of its users allow
  bool stopping = false;           // a user is asked to stop
  int32_t top_priority = 0;        // of its users
  int64_t newest_start_ns = 0;     // of its users; kNoLimit: one does not run yet

  int64_t memory_limit() const { return slot.memory_bytes() > 0 ? slot.memory_bytes() : kNoLimit; }
  // Whether any one-rank run may still come beside its users.
  bool open() const {
    return !users.empty() && !stopping && !sharing_blocked &&
           static_cast<int32_t>(users.size()) < sharers;
  }
};

// Why a run may not join the users of a slot.
enum class Refusal {
  kNone,          // it may
  kGang,          // it, or the user, is a gang
  kEnding,        // a user is asked to stop, and the slot is meant for another run
  kFull,          // the slot takes no more runs
  kSlower,        // so many together were measured to be slower than one fewer
  kWouldEndLast,  // it, or a user, is expected to end after all the work that is open: it would end
                  // later; or such a run waits for the slot
  kMemory,
};
// Whether a run of this need and expected time may join the users of a slot. `backlog_time`: how
// long the open work takes on all slots together, in RunState::duration's unit.
Refusal MayJoin(const Place& place, const Need& need, double duration, double backlog_time);

class Pool {
 public:
  // Borrows the agent.
  Pool(const AgentState& agent, SlotKind kind);

  const AgentState& agent() const { return *agent_; }
  const std::vector<Place>& places() const { return places_; }
  int width() const { return static_cast<int>(places_.size()); }
  int32_t most_runs() const { return most_runs_; }  // that one of its slots takes
  // How many places have no users and may be given to a run.
  int free() const { return IsClosed() ? 0 : free_; }
  int busy() const { return width() - free_; }            // places with users
  int64_t memory_bytes() const { return memory_bytes_; }  // of its smallest slot, or kNoLimit

  // The worker is on probation and has its one run already.
  bool IsClosed() const { return !agent_->probation.empty() && busy() > 0; }
  // The place of this slot; unset: not of this pool.
  std::optional<size_t> Find(const v1::Slot& slot) const;
  void Add(size_t place, const RunState& run);
  void Remove(size_t place, const RunState& run);
  // Call when a user's duration, priority or `stopping` changed.
  void Refresh(size_t place);
  void SetAsked(size_t place, bool asked);
  void SetSharingBlocked(size_t place, bool blocked) { places_[place].sharing_blocked = blocked; }

  // Free places, without those that `held` names. An empty `held` names none.
  std::vector<size_t> FreePlaces(const std::vector<bool>& held) const;
  // `ranks` of the places, ascending: on one host where one has so many of them (the one with the
  // fewest of those, and then the first in the agent's order), otherwise on the fewest hosts. On a
  // host, those that stand first in `places`.
  std::vector<size_t> OnFewestHosts(std::vector<size_t> places, int ranks) const;
  // The open place with so many users that ends by `ends_by` and has the most memory left, but for
  // those held.
  std::optional<size_t> RoomiestWith(size_t users, double ends_by,
                                     const std::vector<bool>& held) const;
  // Time until `ranks` places are free; ranks <= width().
  double SoonestFree(int ranks) const;
  // Those places, soonest first.
  std::vector<size_t> SoonestPlaces(int ranks) const;

  // The fewest LEASED runs, lowest priority first and then the youngest, that would leave `ranks`
  // places free if they stopped. Only runs below `priority` that started by `started_by_ns`, and
  // only whole slots that are not held; empty: it cannot be done.
  std::vector<const RunState*> Victims(int ranks, int32_t priority, int64_t started_by_ns,
                                       const std::vector<bool>& held) const;

 private:
  const AgentState* agent_;
  std::vector<Place> places_;  // in the agent's order
  std::vector<int> host_of_;   // of each place: a number for each host, in that order
  int hosts_ = 0;
  int free_ = 0;
  int32_t most_runs_ = 1;
  int64_t memory_bytes_ = kNoLimit;
};

}  // namespace allometry::schedule
