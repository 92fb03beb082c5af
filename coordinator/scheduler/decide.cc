#include "coordinator/scheduler/decide.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/scheduler/reasons.h"
#include "coordinator/scheduler/slots.h"

namespace allometry::scheduler {
namespace {

using Queue = std::deque<const RunState*>;

// What decides where a run can start, beside its expected time.
using Need = std::tuple<int32_t, std::string, std::string>;
Need NeedOf(const RunState& run) { return {run.ranks, run.device, run.dataset_hash}; }

bool GoesFirst(const RunState* a, const RunState* b) {
  if (a->ranks != b->ranks) return a->ranks > b->ranks;
  if (a->duration != b->duration) return a->duration > b->duration;
  if (a->flops_remaining != b->flops_remaining) return a->flops_remaining > b->flops_remaining;
  return a->run_id < b->run_id;
}

// The waiting runs: by priority, the largest first, then by sweep.
std::map<int32_t, std::map<int64_t, Queue>, std::greater<>> Queues(const ClusterState& state) {
  std::map<int32_t, std::map<int64_t, Queue>, std::greater<>> queues;
  for (const auto& [run_id, run] : state.runs) {
    ALLO_CHECK(run.ranks >= 1) << "run " << run_id << " needs " << run.ranks << " slots";
    if (run.placement.has_value() || !run.blocked.empty()) continue;
    queues[run.priority][run.sweep_id].push_back(&run);
  }
  for (auto& [priority, sweeps] : queues) {
    for (auto& [sweep_id, queue] : sweeps) std::sort(queue.begin(), queue.end(), GoesFirst);
  }
  return queues;
}

class Deciding {
 public:
  Deciding(const ClusterState& state, int64_t now_ns, const Options& options)
      : state_(state), now_ns_(now_ns), options_(options), slots_(state) {
    for (const auto& [run_id, run] : state.runs) {
      if (run.placement.has_value()) shares_[run.sweep_id] += run.ranks;
    }
  }

  Decision Run() {
    for (auto& [priority, sweeps] : Queues(state_)) {
      TryImpatientGangs(sweeps);
      while (!sweeps.empty()) {
        const auto sweep = LeastServed(sweeps);
        Try(*sweep->second.front());
        sweep->second.pop_front();
        if (sweep->second.empty()) sweeps.erase(sweep);
      }
    }
    Explain();
    return std::move(decision_);
  }

 private:
  // Those out of patience, in the order of their waiting.
  void TryImpatientGangs(std::map<int64_t, Queue>& sweeps) {
    std::vector<const RunState*> impatient;
    for (auto sweep = sweeps.begin(); sweep != sweeps.end();) {
      Queue& queue = sweep->second;
      const auto end = std::stable_partition(
          queue.begin(), queue.end(), [this](const RunState* run) { return IsImpatient(*run); });
      impatient.insert(impatient.end(), queue.begin(), end);
      queue.erase(queue.begin(), end);
      sweep = queue.empty() ? sweeps.erase(sweep) : std::next(sweep);
    }
    std::sort(impatient.begin(), impatient.end(), [](const RunState* a, const RunState* b) {
      return std::tie(a->waiting_since_ns, a->run_id) < std::tie(b->waiting_since_ns, b->run_id);
    });
    for (const RunState* run : impatient) Try(*run);
  }

  bool IsImpatient(const RunState& run) const {
    return run.ranks > 1 && now_ns_ - run.waiting_since_ns >= options_.gang_patience_ns;
  }

  std::map<int64_t, Queue>::iterator LeastServed(std::map<int64_t, Queue>& sweeps) {
    return std::min_element(sweeps.begin(), sweeps.end(), [this](const auto& a, const auto& b) {
      return shares_[a.first] < shares_[b.first];
    });
  }

  void Try(const RunState& run) {
    if (slots_.free() < run.ranks || KnownNotToFit(run)) {
      Wait(run);
      return;
    }
    std::optional<Slots::Taken> taken = slots_.Take(run);
    if (!taken.has_value()) {
      shortest_refused_[NeedOf(run)] = run.duration;
      Wait(run);
      return;
    }
    shares_[run.sweep_id] += run.ranks;
    decision_.assignments.push_back(
        {run.run_id, std::move(taken->agent_id), std::move(taken->slots)});
  }

  // Slots only get fewer during a decision, so what was refused once is refused again, unless a
  // shorter run may backfill. Keeps a decision over many waiting runs short.
  bool KnownNotToFit(const RunState& run) const {
    const auto refused = shortest_refused_.find(NeedOf(run));
    return refused != shortest_refused_.end() && run.duration >= refused->second;
  }

  void Wait(const RunState& run) {
    waiting_.push_back(&run);
    if (run.ranks == 1 || slots_.reservation().has_value()) return;
    slots_.Reserve(run, /*backfill=*/!IsImpatient(run));
  }

  void Explain() {
    for (const auto& [run_id, run] : state_.runs) {
      if (!run.placement.has_value() && !run.blocked.empty()) waiting_.push_back(&run);
    }
    std::sort(waiting_.begin(), waiting_.end(),
              [](const RunState* a, const RunState* b) { return a->run_id < b->run_id; });
    std::map<Need, std::string> reasons;
    for (const RunState* run : waiting_) {
      if (!run->blocked.empty()) {
        decision_.waiting.push_back({run->run_id, absl::StrCat("waiting: ", run->blocked)});
        continue;
      }
      const auto [reason, is_new] = reasons.try_emplace(NeedOf(*run));
      if (is_new) reason->second = WhyItWaits(*run, slots_);
      decision_.waiting.push_back({run->run_id, reason->second});
    }
  }

  const ClusterState& state_;
  const int64_t now_ns_;
  const Options& options_;
  Slots slots_;
  std::map<int64_t, int64_t> shares_;  // slots that each sweep holds
  std::map<Need, double> shortest_refused_;
  std::vector<const RunState*> waiting_;
  Decision decision_;
};

}  // namespace

Decision Decide(const ClusterState& state, int64_t now_ns, const Options& options) {
  return Deciding(state, now_ns, options).Run();
}

}  // namespace allometry::scheduler
