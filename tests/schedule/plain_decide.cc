#include "tests/schedule/plain_decide.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/schedule/pool.h"
#include "coordinator/schedule/reasons.h"

namespace allometry::schedule {
namespace {

using Queue = std::vector<const RunState*>;

class Plain {
 public:
  Plain(const ClusterState& state, int64_t now_ns, const Options& options)
      : state_(state), now_ns_(now_ns), options_(options) {
    for (const auto& [agent_id, agent] : state.agents) {
      if (!agent.live || !agent.drained.empty()) continue;
      std::set<SlotKind> kinds;
      for (const v1::Slot& slot : agent.slots) kinds.insert(KindOf(slot));
      kinds.erase(std::nullopt);
      for (const SlotKind kind : kinds) pools_.emplace_back(agent, kind);
    }
    for (const auto& [run_id, run] : state.runs) {
      if (!run.placement.has_value()) continue;
      stopping_ = stopping_ || run.stopping;
      shares_[run.sweep_id] += run.ranks;
      for (Pool& pool : pools_) {
        if (pool.agent().agent_id != run.placement->agent_id) continue;
        for (const v1::Slot& slot : run.placement->slots) {
          if (const auto place = pool.Find(slot)) pool.Add(*place, run);
        }
      }
    }
  }

  Decision Run() {
    std::map<int32_t, std::map<int64_t, Queue>, std::greater<>> queues;
    for (const auto& [run_id, run] : state_.runs) {
      if (run.placement.has_value() || !run.blocked.empty()) continue;
      queues[run.priority][run.sweep_id].push_back(&run);
    }
    for (auto& [priority, sweeps] : queues) {
      for (auto& [sweep_id, queue] : sweeps) Sort(queue);
      TryInOrder(LongOnes(sweeps, /*long_runs=*/false), sweeps);
      for (const RunState* run : ImpatientGangs(sweeps)) {
        if (started_.count(run->run_id) > 0 || refused_.count(NeedOf(*run)) > 0) continue;
        if (!TryToStart(*run)) Refuse(*run, {});
      }
      TryInOrder(LongOnes(sweeps, /*long_runs=*/true), sweeps);
      KeepFor(LongOnes(sweeps, /*long_runs=*/true));
      TryInOrder(sweeps, sweeps);
    }
    return std::move(decision_);
  }

 private:
  bool IsImpatient(const RunState& run) const {
    return run.ranks > 1 && now_ns_ - run.waiting_since_ns >= options_.gang_patience_ns;
  }

  // Longer than all open work; `long_runs`: than that work at the speed that makes a run long.
  std::map<int64_t, Queue> LongOnes(const std::map<int64_t, Queue>& sweeps, bool long_runs) {
    std::map<int64_t, Queue> last;
    for (const auto& [sweep_id, queue] : sweeps) {
      if (queue.front()->ahead) continue;  // it keeps its own order
      for (const RunState* run : queue) {
        double than = KnownAllWork(run->device);
        if (long_runs) than /= MayShare(NeedOf(*run)) ? kSharedSpeedup : kRuntimeMargin;
        if (run->duration > than) last[sweep_id].push_back(run);
      }
    }
    return last;
  }

  bool MayShare(const Need& need) const {
    return std::any_of(pools_.begin(), pools_.end(),
                       [&](const Pool& pool) { return IsOf(pool, need) && pool.most_runs() > 1; });
  }

  // Runs of one rank each get the place that is empty soonest: of one need but for memory, those
  // with the most memory that any of them needs.
  void KeepFor(const std::map<int64_t, Queue>& long_runs) {
    std::map<Need, std::pair<int64_t, size_t>> kinds;
    for (const auto& [sweep_id, queue] : long_runs) {
      for (const RunState* run : queue) {
        if (run->ranks > 1 || started_.count(run->run_id) > 0) continue;
        Need need = NeedOf(*run);
        const int64_t memory = need.memory_bytes;
        need.memory_bytes = 0;
        need.max_sharers = 1;
        auto& [most, count] = kinds[need];
        most = std::max(most, memory);
        ++count;
      }
    }
    for (const auto& [kind, wanted] : kinds) {
      Need need = kind;
      need.memory_bytes = wanted.first;
      for (size_t i = 0; i < wanted.second; ++i) KeepSoonest(need);
    }
  }
  void KeepSoonest(const Need& need) {
    Pool* best = nullptr;
    size_t best_place = 0;
    for (Pool& pool : pools_) {
      if (!CouldRun(pool, need)) continue;
      for (size_t i = 0; i < pool.places().size(); ++i) {
        if (pool.places()[i].sharing_blocked) continue;
        if (best != nullptr && pool.places()[i].ends >= best->places()[best_place].ends) continue;
        best = &pool;
        best_place = i;
      }
    }
    if (best != nullptr) best->SetSharingBlocked(best_place, true);
  }

  Queue ImpatientGangs(const std::map<int64_t, Queue>& sweeps) const {
    Queue impatient;
    for (const auto& [sweep_id, queue] : sweeps) {
      for (const RunState* run : queue) {
        if (IsImpatient(*run)) impatient.push_back(run);
      }
    }
    std::sort(impatient.begin(), impatient.end(), [](const RunState* a, const RunState* b) {
      return std::tie(a->waiting_since_ns, a->run_id) < std::tie(b->waiting_since_ns, b->run_id);
    });
    return impatient;
  }

  static void Sort(Queue& queue) {
    std::sort(queue.begin(), queue.end(), [](const RunState* a, const RunState* b) {
      if (a->ahead != b->ahead) return a->ahead;
      const int of_a = std::ilogb(a->duration * a->ranks);
      const int of_b = std::ilogb(b->duration * b->ranks);
      if (of_a != of_b) return of_a > of_b;
      if (a->ranks != b->ranks) return a->ranks > b->ranks;
      if (a->duration != b->duration) return a->duration > b->duration;
      if (a->flops_remaining != b->flops_remaining) {
        return a->flops_remaining > b->flops_remaining;
      }
      return a->run_id < b->run_id;
    });
  }

  // `sweeps`: what to try; `all`: every run of them.
  void TryInOrder(std::map<int64_t, Queue> sweeps, const std::map<int64_t, Queue>& all) {
    while (!sweeps.empty()) {
      auto least = sweeps.begin();
      for (auto sweep = sweeps.begin(); sweep != sweeps.end(); ++sweep) {
        if (shares_[sweep->first] < shares_[least->first]) least = sweep;
      }
      Queue& queue = least->second;
      const RunState& run = *queue.front();
      if (started_.count(run.run_id) == 0 && !TryToStart(run)) {
        const bool is_new =
            refused_.count(NeedOf(run)) == 0 || refused_.at(NeedOf(run)) > run.duration;
        if (is_new) Refuse(run, all.at(least->first));
      }
      queue.erase(queue.begin());
      if (queue.empty()) sweeps.erase(least);
    }
  }

  // The smallest host with enough of the places, or else all of the largest and the rest likewise.
  static std::vector<size_t> Packed(const Pool& pool, std::vector<size_t> places, size_t ranks) {
    std::vector<size_t> packed;
    while (packed.size() < ranks) {
      std::map<std::string, std::vector<size_t>> hosts;
      for (const size_t place : places) hosts[pool.places()[place].slot.host()].push_back(place);
      std::vector<std::vector<size_t>> sorted;
      for (const auto& [host, own] : hosts) sorted.push_back(own);
      std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return std::pair(a.size(), *std::min_element(a.begin(), a.end())) <
               std::pair(b.size(), *std::min_element(b.begin(), b.end()));
      });
      const size_t left = ranks - packed.size();
      const auto enough = std::find_if(sorted.begin(), sorted.end(),
                                       [&](const auto& own) { return own.size() >= left; });
      const size_t most = sorted.back().size();
      const std::vector<size_t> own =
          enough != sorted.end()
              ? *enough
              : *std::find_if(sorted.begin(), sorted.end(),
                              [&](const auto& other) { return other.size() == most; });
      for (const size_t place : own) {
        if (packed.size() < ranks) packed.push_back(place);
        std::erase(places, place);
      }
    }
    return packed;
  }

  bool HasData(const Pool& pool, const Need& need) const {
    return need.dataset_hash.empty() || pool.agent().dataset_hashes.count(need.dataset_hash) > 0;
  }
  bool IsOf(const Pool& pool, const Need& need) const {
    return KindOf(pool.places().front().slot) == need.device && HasData(pool, need);
  }
  int64_t MemoryAsked(const Need& need) const {
    for (const Pool& pool : pools_) {
      if (IsOf(pool, need) && pool.memory_bytes() >= need.memory_bytes) return need.memory_bytes;
    }
    return 0;
  }
  bool IsWhereItMay(const Pool& pool, const Need& need) const {
    if (!need.avoided_host.empty() && pool.agent().host == need.avoided_host) return false;
    return need.root_id.empty() || pool.agent().run_root_id == need.root_id;
  }
  bool CouldRun(const Pool& pool, const Need& need) const {
    return IsOf(pool, need) && IsWhereItMay(pool, need) && pool.width() >= need.ranks &&
           pool.memory_bytes() >= MemoryAsked(need);
  }
  // On probation a worker gets one run at a time.
  static bool HasItsOneRun(const Pool& pool) {
    if (pool.agent().probation.empty()) return false;
    return std::any_of(pool.places().begin(), pool.places().end(),
                       [](const Place& place) { return !place.users.empty(); });
  }
  bool MayUse(const Pool& pool, size_t place, const RunState& run) const {
    if (reserved_ != &pool || held_.count(place) == 0) return true;
    return backfill_ && run.duration <= ready_;
  }
  bool IsFar(const Pool& pool, const RunState& run) const {
    return run.checkpoint_root_id.empty() || pool.agent().run_root_id != run.checkpoint_root_id;
  }

  bool TryToStart(const RunState& run) {
    const Need need = NeedOf(run);
    return TryWhole(run, need) || (need.ranks == 1 && TryToShare(run, need));
  }

  bool TryWhole(const RunState& run, const Need& need) {
    Pool* best = nullptr;
    std::tuple<bool, size_t> best_rank;
    std::vector<size_t> best_places;
    for (Pool& pool : pools_) {
      if (!CouldRun(pool, need) || HasItsOneRun(pool)) continue;
      std::vector<size_t> places, held;
      for (const size_t place : pool.FreePlaces({})) {
        if (!MayUse(pool, place, run)) continue;
        (reserved_ == &pool && held_.count(place) > 0 ? held : places).push_back(place);
      }
      places.insert(places.end(), held.begin(), held.end());
      if (places.size() < static_cast<size_t>(need.ranks)) continue;
      const std::tuple<bool, size_t> rank(IsFar(pool, run), places.size());
      if (best != nullptr && rank >= best_rank) continue;
      best = &pool;
      best_rank = rank;
      best_places = places;
    }
    if (best == nullptr) return false;
    best_places = Packed(*best, best_places, static_cast<size_t>(need.ranks));
    std::sort(best_places.begin(), best_places.end());
    Start(run, *best, best_places);
    return true;
  }

  double KnownAllWork(SlotKind kind) {
    const auto [known, is_new] = backlog_times_.try_emplace(kind);
    if (is_new) known->second = BacklogTime(kind);
    return known->second;
  }
  // Of the kind, on all slots; infinity where there are none.
  double BacklogTime(SlotKind kind) const {
    double work = 0, slots = 0;
    for (const auto& [run_id, run] : state_.runs) {
      const bool open = run.placement.has_value() || run.blocked.empty();
      if (open && run.device == kind) work += run.duration * run.ranks;
    }
    for (const Pool& pool : pools_) {
      if (KindOf(pool.places().front().slot) != kind) continue;
      slots += pool.width();
    }
    return slots > 0 ? (1 + 1e-6) * work / slots : std::numeric_limits<double>::infinity();
  }

  bool TryToShare(const RunState& run, const Need& need) {
    const double backlog_time = KnownAllWork(need.device);
    Pool* best = nullptr;
    size_t best_place = 0;
    std::tuple<bool, size_t, int64_t> best_rank;
    for (Pool& pool : pools_) {
      if (!IsOf(pool, need) || !IsWhereItMay(pool, need) || HasItsOneRun(pool)) continue;
      for (size_t i = 0; i < pool.places().size(); ++i) {
        const Place& place = pool.places()[i];
        if (place.users.empty() || !MayUse(pool, i, run)) continue;
        if (MayJoin(place, need, run.duration, backlog_time) != Refusal::kNone) continue;
        const std::tuple<bool, size_t, int64_t> rank(IsFar(pool, run), place.users.size(),
                                                     -place.memory_left);
        if (best != nullptr && rank >= best_rank) continue;
        best = &pool;
        best_place = i;
        best_rank = rank;
      }
    }
    if (best == nullptr) return false;
    Start(run, *best, {best_place});
    return true;
  }

  void Start(const RunState& run, Pool& pool, const std::vector<size_t>& places) {
    Assignment assignment{run.run_id, pool.agent().agent_id, {}, ""};
    const Place& first = pool.places()[places.front()];
    if (!first.users.empty()) assignment.reason = WhyItShares(pool.agent(), first, NeedOf(run));
    for (const size_t place : places) {
      assignment.slots.push_back(pool.places()[place].slot);
      pool.Add(place, run);
    }
    decision_.assignments.push_back(std::move(assignment));
    shares_[run.sweep_id] += run.ranks;
    started_.insert(run.run_id);
  }

  // `queue`: of its sweep.
  void Refuse(const RunState& run, const Queue& queue) {
    const bool is_first = refused_.insert_or_assign(NeedOf(run), run.duration).second;
    if (run.ranks == 1) {
      if (!is_first) return;
      for (auto other = std::find(queue.begin(), queue.end(), &run); other != queue.end();
           ++other) {
        if (NeedOf(**other) == NeedOf(run) && !AskForRoom(**other)) break;
      }
    } else if (reserved_ == nullptr) {
      AskForRoom(run);
      Reserve(run);
    }
  }

  void Reserve(const RunState& run) {
    const Need need = NeedOf(run);
    for (const Pool& pool : pools_) {
      if (!CouldRun(pool, need)) continue;
      const double ready = pool.SoonestFree(run.ranks);
      if (reserved_ != nullptr && ready >= ready_) continue;
      reserved_ = &pool;
      ready_ = ready;
    }
    if (reserved_ == nullptr) return;
    const std::vector<size_t> places = reserved_->SoonestPlaces(run.ranks);
    held_.insert(places.begin(), places.end());
    backfill_ = !IsImpatient(run);
  }

  bool AskForRoom(const RunState& run) {
    if (!options_.preempt || stopping_ || rooms_ >= options_.max_preemptions) return false;
    const Need need = NeedOf(run);
    Pool* best = nullptr;
    std::vector<const RunState*> best_victims;
    std::tuple<size_t, int32_t> best_cost;
    for (Pool& pool : pools_) {
      if (!CouldRun(pool, need) || !pool.agent().probation.empty()) continue;
      std::vector<bool> held(pool.places().size(), false);
      for (size_t i = 0; i < held.size(); ++i) held[i] = reserved_ == &pool && held_.count(i) > 0;
      const std::vector<const RunState*> victims =
          pool.Victims(need.ranks, run.priority, now_ns_ - options_.min_run_ns, held);
      if (victims.empty()) continue;
      std::tuple<size_t, int32_t> cost(victims.size(), victims.front()->priority);
      for (const RunState* victim : victims) {
        std::get<1>(cost) = std::max(std::get<1>(cost), victim->priority);
      }
      if (best != nullptr && cost >= best_cost) continue;
      best = &pool;
      best_victims = victims;
      best_cost = cost;
    }
    if (best == nullptr) return false;
    ++rooms_;
    for (const RunState* victim : best_victims) {
      decision_.preemptions.push_back(
          {victim->run_id,
           absl::StrFormat("makes room for run %d, which has priority %d against %d", run.run_id,
                           run.priority, victim->priority)});
      for (const v1::Slot& slot : victim->placement->slots) {
        best->SetAsked(best->Find(slot).value(), true);
      }
    }
    return true;
  }

  const ClusterState& state_;
  const int64_t now_ns_;
  const Options& options_;
  std::vector<Pool> pools_;
  std::map<int64_t, int64_t> shares_;
  bool stopping_ = false;
  int rooms_ = 0;
  std::map<Need, double> refused_;  // the shortest
  std::set<int64_t> started_;
  std::map<SlotKind, double> backlog_times_;
  const Pool* reserved_ = nullptr;
  std::set<size_t> held_;
  double ready_ = 0;
  bool backfill_ = true;
  Decision decision_;
};

}  // namespace

Decision PlainDecide(const ClusterState& state, int64_t now_ns, const Options& options) {
  return Plain(state, now_ns, options).Run();
}

}  // namespace allometry::schedule
