// The sweeps of a priority in the order of their turns, those that hold the fewest slots first, of
// which a run may still start. Finds them by what each need has in line, without a look at the
// sweeps that have nothing to try.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "coordinator/schedule/queues.h"

namespace allometry::schedule {

// The needs that found no room, each with the longest expected time of a run of it that may find
// some yet; -infinity: no run of it will.
using Refused = std::unordered_map<const Need*, double>;

class SweepOrder {
 public:
  // Runs of a need that take no longer than `longer_than` are not to be tried. Borrows the queues
  // and `refused`, which may get more and tighter entries while this lives.
  SweepOrder(const Queues& queues, const Queues::Level& level, const Refused& refused,
             absl::FunctionRef<double(const Need&)> longer_than);

  // The first of the sweeps that are not taken; unset: there is none. Its share is the one before
  // the decision.
  std::optional<ShareKey> First();
  // Leaves the sweep out from now on; false: it is left out already.
  bool Take(int64_t sweep_id) { return taken_.insert(sweep_id).second; }
  // What a run of the need must take longer than to be tried; infinity: none of it is tried.
  double LongerThan(const Need* need) const;

 private:
  // The first sweep that has a run of this need to try, and where to go on.
  struct Head {
    const Need* need;
    const Queues::QueuesOfNeed* lines;
    double longer_than;
    double until;  // that `few` is for
    std::map<ShareKey, const RunQueue*>::const_iterator next;
    // Where only few sweeps have such a run: all of them, the last one first.
    bool is_few;
    std::vector<std::pair<ShareKey, const RunQueue*>> few;
  };
  using Entry = std::pair<ShareKey, size_t>;  // of heads_

  double Until(const Need* need) const;
  bool MayTry(const Head& head, const ShareKey& key, const RunQueue& line) const;
  void Gather(Head& head) const;
  // Puts the head's first sweep on the heap, where it has one.
  void Push(size_t index);

  const Queues& queues_;
  const Queues::Level& level_;
  const Refused& refused_;
  std::vector<Head> heads_;
  std::unordered_map<const Need*, double> longer_than_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> first_;
  std::unordered_set<int64_t> taken_;
};

}  // namespace allometry::schedule
