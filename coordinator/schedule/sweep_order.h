// Which sweep of one priority has its turn next: the one that holds the fewest slots, among those
// with a run that may still start. The order is read from the queues of each need (queues.h), so a
// sweep with nothing to try costs no time.
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

// The needs for which no slot was found. Of each, runs with at most this expected time may still
// find one (they may use held or shared slots); -infinity: no run of this need will.
using Refused = std::unordered_map<const Need*, double>;

class SweepOrder {
 public:
  // Only runs with an expected time above longer_than(their need) are tried. Borrows the queues and
  // `refused`. Entries may be added to `refused`, or their times shortened, while this lives.
  SweepOrder(const Queues& queues, const Queues::Level& level, const Refused& refused,
             absl::FunctionRef<double(const Need&)> longer_than);

  // The next sweep that Take() has not left out, with the slots that it held before the decision;
  // unset: there is none.
  std::optional<ShareKey> First();
  // Leaves the sweep out from now on; false: it is left out already.
  bool Take(int64_t sweep_id) { return taken_.insert(sweep_id).second; }
  // A run of the need is tried when its expected time exceeds this; infinity: none is tried.
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
