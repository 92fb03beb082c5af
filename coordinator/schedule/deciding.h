// One decision over the indices, in the order that decide.h says. Leaves them as they were.
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

#include "coordinator/schedule/decide.h"
#include "coordinator/schedule/fleet.h"
#include "coordinator/schedule/queues.h"

namespace allometry::schedule {

// priority -> when each LEASED run of it started
using LeasedStarts = std::map<int32_t, std::multiset<int64_t>>;

class Deciding {
 public:
  // Borrows all. `leased`: empty: nobody may be asked to stop. `open_work`: by kind of slot, the
  // expected time x ranks of all runs that are not blocked.
  Deciding(Fleet& fleet, const Queues& queues, std::map<int64_t, int64_t>& shares,
           const LeasedStarts& leased, const std::map<std::string, double>& open_work,
           int64_t now_ns, const Options& options);
  // Undoes what the decision took.
  ~Deciding();
  Deciding(const Deciding&) = delete;
  Deciding& operator=(const Deciding&) = delete;

  // Once.
  Decision Run();

 private:
  // The next run to try of a line.
  struct Cursor {
    const Need* need;
    const Line* line;
    Line::const_iterator next;
    double longer_than;  // what is not is not to be tried
  };
  static bool GoesLater(const Cursor& a, const Cursor& b);

  enum Which { kLastOnes, kLongOnes, kAll };

  // What is longer may end last even where all others share.
  double LongFrom(const Need& need) const;
  // Slots that long ones wait for are not joined by others.
  void KeepForLongOnes(const Queues::Level& level);
  bool IsImpatient(const RunState& run) const;
  void TryImpatientGangs(const Queues::Level& level);
  void TryInOrder(const Queues::Level& level, Which which);
  // Past what was started, or is known to be refused; false: nothing is left to try.
  bool SkipKnown(Cursor& cursor) const;
  // The one to try first, out of the heap of a sweep's lines; unset: nothing is left to try.
  std::optional<Cursor> Pop(std::vector<Cursor>& cursors) const;
  double AllWork(const Need& need) const;
  bool TryToStart(const RunState& run, const Need* need);
  // `line` and `place`: the run and those after it; nullptr: the run alone.
  void Refuse(const RunState& run, const Need* need, const Line* line, Line::const_iterator place);
  bool AskForRoom(const RunState& run, const Need& need);
  bool IsWithoutRoom(const Need& need) const;
  // The lowest priority below the run's at which a run may be asked to stop; unset: there is none.
  std::optional<int32_t> LowestToAsk(const RunState& run) const;

  Fleet& fleet_;
  const Queues& queues_;
  std::map<int64_t, int64_t>& shares_;
  const LeasedStarts& leased_;
  std::map<std::string, double> all_work_;  // Fleet::AllWork of each kind
  const int64_t now_ns_;
  const Options& options_;
  int rooms_asked_ = 0;
  // Needs for which nobody could make room. During a decision fewer and fewer may be asked, so that
  // what needs as much or more has no use of a look at every pool.
  std::vector<Need> no_room_;
  // Needs that found no room. Slots only get fewer during a decision, so that what was refused is
  // refused again, unless it ends by the time given: those may use held slots, or share.
  std::unordered_map<const Need*, double> refused_;
  std::unordered_set<int64_t> started_;
  std::vector<std::pair<const RunState*, Spot>> taken_;
  std::vector<const RunState*> asked_;
  Decision decision_;
};

}  // namespace allometry::schedule
