// One scheduling decision over the indices, in the order of decide.h. Leaves the indices as they
// were.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "coordinator/schedule/capacity_index.h"
#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/exact_sum.h"
#include "coordinator/schedule/queues.h"
#include "coordinator/schedule/sweep_order.h"

namespace allometry::schedule {

// priority -> when each LEASED run of it started
using LeasedStarts = std::map<int32_t, std::multiset<int64_t>>;

// Expected duration x ranks of all runs that are not blocked.
using OpenWork = std::map<SlotKind, ExactSum>;

class SchedulingPass {
 public:
  // Borrows its arguments. An empty `leased` means that no run may be asked to stop.
  SchedulingPass(CapacityIndex& capacity, const Queues& queues, std::map<int64_t, int64_t>& shares,
                 const LeasedStarts& leased, const OpenWork& open_work, int64_t now_ns,
                 const Options& options);
  // Gives back the slots that the decision took.
  ~SchedulingPass();
  SchedulingPass(const SchedulingPass&) = delete;
  SchedulingPass& operator=(const SchedulingPass&) = delete;

  // Once.
  Decision Run();

 private:
  // The next run to try of a queue.
  struct Cursor {
    const Need* need;
    const RunQueue* queue;
    RunQueue::const_iterator next;
    double longer_than;  // only longer runs are tried
  };
  static bool GoesLater(const Cursor& a, const Cursor& b);

  // The duration above which a run counts as long (decide.h).
  double LongRunThreshold(const Need& need) const;
  // Lets no further run join the slots that long runs wait for.
  void BlockSharingForLongRuns(const Queues::Level& level);
  bool IsImpatient(const RunState& run) const;
  void TryImpatientGangs(const Queues::Level& level);
  // Tries the runs that are longer than the backlog, or those above LongRunThreshold.
  void TryLongRuns(const Queues::Level& level, bool longer_than_backlog);
  // Tries all runs, sweep by sweep in their order, until every need is known to find no slot.
  void TryAll(const Queues::Level& level);
  // The runs that are longer than their need says: the sweeps in their order, until no need is left
  // that may find room. `keeps_order_of_ahead`: not those of a sweep where a run is ahead.
  void TryInTurn(const Queues::Level& level, absl::FunctionRef<double(const Need&)> longer_than,
                 bool keeps_order_of_ahead);
  // Tries the sweep's next run; false: none is left.
  bool TryNext(std::vector<Cursor>& cursors);
  // Past what was started, or is known to be refused; false: nothing is left to try.
  bool SkipKnown(Cursor& cursor) const;
  // The one to try first, out of the heap of a sweep's queues; unset: nothing is left to try.
  std::optional<Cursor> Pop(std::vector<Cursor>& cursors) const;
  int64_t ShareOf(int64_t sweep_id) const;
  // What of the sweep is to be tried, as a heap.
  std::vector<Cursor> CursorsOf(const Queues::Level& level, const SweepOrder& order,
                                int64_t sweep_id) const;
  bool IsRefused(const Need* need) const;
  double BacklogTime(const Need& need) const;
  bool TryToStart(const RunState& run, const Need* need);
  // `queue` and `place`: the run and those after it; nullptr: the run alone.
  void Refuse(const RunState& run, const Need* need, const RunQueue* queue,
              RunQueue::const_iterator place);
  bool AskForRoom(const RunState& run, const Need& need);
  bool IsWithoutRoom(const Need& need) const;
  // The lowest priority below the run's at which a run may be asked to stop; unset: there is none.
  std::optional<int32_t> LowestToAsk(const RunState& run) const;

  CapacityIndex& capacity_;
  const Queues& queues_;
  std::map<int64_t, int64_t>& shares_;
  const LeasedStarts& leased_;
  std::map<SlotKind, double> backlog_times_;  // CapacityIndex::BacklogTime
  const int64_t now_ns_;
  const Options& options_;
  int rooms_asked_ = 0;
  // Needs for which nobody could make room. During a decision fewer and fewer may be asked, so that
  // what needs as much or more has no use of a look at every pool.
  std::vector<Need> no_room_;
  // Needs that found no room. Slots only get fewer during a decision, so that what was refused is
  // refused again, unless it ends by the time given: those may use held slots, or share.
  Refused refused_;
  std::unordered_set<int64_t> started_;
  std::set<int64_t> started_sweeps_;  // which hold more than Queues knows of
  std::vector<std::pair<const RunState*, SlotChoice>> taken_;
  std::vector<const RunState*> asked_;
  Decision decision_;
};

}  // namespace allometry::schedule
