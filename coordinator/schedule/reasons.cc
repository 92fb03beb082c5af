#include "coordinator/schedule/reasons.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/foreign_text.h"

namespace allometry::schedule {
namespace {

// Bytes of what a run or a host said, within a sentence.
constexpr size_t kLongestWhy = 1000;

std::string SlotsOf(int count) { return absl::StrCat(count, count == 1 ? " slot" : " slots"); }

std::string Bytes(int64_t bytes) {
  const double mebi = static_cast<double>(bytes) / (1 << 20);
  return mebi < 1024 ? absl::StrFormat("%.0f MiB", mebi) : absl::StrFormat("%.1f GiB", mebi / 1024);
}

bool HasData(const AgentState& agent, const RunState& run) {
  return run.dataset_hash.empty() || agent.dataset_hashes.count(run.dataset_hash) > 0;
}

// Why no worker could ever run it; a drained one that could is said first, because it is all that
// is left.
std::string NoWorker(const RunState& run, const ClusterState& state, int64_t memory) {
  bool data = false;
  int largest = 0;
  int drained = 0;
  std::string without_slots;  // a host that offers none at this moment
  std::string why_drained;    // of the first
  for (const auto& [agent_id, agent] : state.agents) {
    if (!agent.live || !HasData(agent, run)) continue;
    const auto slots = static_cast<int>(
        std::count_if(agent.slots.begin(), agent.slots.end(),
                      [&](const v1::Slot& slot) { return KindOf(slot) == run.device; }));
    if (!agent.drained.empty()) {
      // One that takes no runs may offer no slot meanwhile.
      if (slots < run.ranks && !agent.slots.empty()) continue;
      if (++drained == 1) {
        why_drained =
            absl::StrCat(agent.host, " gets no runs: ", Shortened(agent.drained, kLongestWhy));
      }
      continue;
    }
    data = true;
    if (agent.host == run.avoided_host) continue;
    if (agent.slots.empty()) without_slots = agent.host;
    largest = std::max(largest, slots);
  }
  if (drained > 0) {
    return absl::StrCat(
        "waiting: ", why_drained,
        drained == 1 ? "" : absl::StrFormat("; %d more workers get none either", drained - 1));
  }
  const bool any_worker = std::any_of(state.agents.begin(), state.agents.end(),
                                      [](const auto& entry) { return entry.second.live; });
  if (!any_worker) return "waiting: no worker is connected; start one with 'allo worker'";
  const bool any_runs_commands = std::any_of(
      state.agents.begin(), state.agents.end(),
      [](const auto& entry) { return entry.second.live && entry.second.runs_commands; });
  if (run.is_command && !any_runs_commands) {
    return "waiting: its trainer is a command of the sweep file, and no connected worker runs "
           "commands; start one with 'allo worker --allow-commands'";
  }
  if (!data) {
    const bool is_union = absl::StartsWith(run.dataset, "union:");
    return absl::StrFormat(
        "waiting: no worker has %s %s (%s); put %s into a worker's data directory",
        is_union ? "all members of" : "dataset", run.dataset,
        run.dataset_hash.substr(run.is_command ? CommandsWith("").size() : 0, 8),
        is_union ? "them" : "it");
  }
  if (largest == 0 && !run.avoided_host.empty()) {
    return absl::StrFormat(
        "waiting: it failed on %s before it got going; other runs go first there",
        run.avoided_host);
  }
  if (largest == 0 && !without_slots.empty()) {
    return absl::StrFormat("waiting: %s, which has its dataset, offers no slot at the moment",
                           without_slots);
  }
  if (largest == 0) {
    if (!run.device.has_value()) {
      return "waiting: no worker with its dataset has a slot of the kind it needs";
    }
    return absl::StrFormat("waiting: no worker with its dataset has a %s slot",
                           run::NameOf(*run.device));
  }
  if (largest >= run.ranks) {
    return absl::StrFormat("can never start: no worker has %s of %s", SlotsOf(run.ranks),
                           Bytes(memory));
  }
  return absl::StrFormat("can never start: needs %s, the largest worker has %d", SlotsOf(run.ranks),
                         largest);
}

std::string WaitsForSlots(const RunState& run, const std::vector<const Pool*>& pools,
                          int64_t held_for) {
  const Pool* best = nullptr;
  double soonest = 0;
  for (const Pool* pool : pools) {
    const double ready = pool->SoonestFree(run.ranks);
    if (best != nullptr && ready >= soonest) continue;
    best = pool;
    soonest = ready;
  }
  std::string reason = absl::StrFormat("waiting: needs %s on one worker; %s has ",
                                       SlotsOf(run.ranks), best->agent().host);
  if (best->free() >= run.ranks && held_for != 0) {
    // Only held ones keep a run from slots that are free.
    return absl::StrCat(reason, best->free(), " free, held for run ", held_for);
  }
  absl::StrAppend(&reason, best->free() == 0 ? "none" : absl::StrCat(best->free()), " free");
  const Place* last = nullptr;
  for (const size_t place : best->SoonestPlaces(run.ranks)) {
    if (!best->places()[place].users.empty()) last = &best->places()[place];
  }
  if (last == nullptr) return reason;
  const RunState* user = *std::max_element(
      last->users.begin(), last->users.end(),
      [](const RunState* a, const RunState* b) { return a->duration < b->duration; });
  return absl::StrCat(reason, " until run ", user->run_id, last->stopping ? " stops" : " ends");
}

// Why it cannot join anybody: what is nearest to letting it.
std::string WhyItDoesNotShare(const Need& need, const std::vector<const Pool*>& pools) {
  int32_t most_runs = 1;
  int64_t most_left = 0;
  bool memory = false, slower = false, could = false;
  for (const Pool* pool : pools) {
    for (const Place& place : pool->places()) {
      most_runs = std::max(most_runs, place.slot.runs());
      constexpr double kForever = std::numeric_limits<double>::infinity();
      const Refusal refusal = MayJoin(place, need, /*duration=*/0, /*backlog_time=*/kForever);
      could = could || (refusal == Refusal::kNone && !place.users.empty());
      slower = slower || refusal == Refusal::kSlower;
      if (refusal != Refusal::kMemory) continue;
      memory = true;
      most_left = std::max(most_left, place.memory_left);
    }
  }
  if (most_runs == 1) return "";
  if (could) return "; what is expected to end last has a slot alone";
  if (memory) {
    return absl::StrFormat("; beside others it needs %s, at most %s are left",
                           Bytes(need.memory_bytes), Bytes(most_left));
  }
  if (slower) return "; more on a slot than now were measured to be slower together";
  return absl::StrFormat("; at most %d share one", most_runs);
}

std::string WaitsForOneSlot(const Need& need, const std::vector<const Pool*>& pools,
                            int64_t held_for) {
  int busy = 0;
  const Pool* with_free = nullptr;
  const Pool* closed = nullptr;
  for (const Pool* pool : pools) {
    if (pool->IsClosed() && pool->places().size() > 1) closed = pool;
    busy += pool->busy();
    if (pool->free() > 0) with_free = pool;
  }
  if (with_free != nullptr && held_for != 0) {
    return absl::StrFormat("waiting: the free slot of %s is held for run %d, which needs several",
                           with_free->agent().host, held_for);
  }
  if (closed != nullptr) {
    return absl::StrFormat("waiting: %s is tried with one run first: %s", closed->agent().host,
                           closed->agent().probation);
  }
  if (busy == 0) return "waiting: no slot is free yet, a worker is still ending what it ran";
  return absl::StrFormat("waiting: no slot is free, %d %s busy%s", busy, busy == 1 ? "is" : "are",
                         WhyItDoesNotShare(need, pools));
}

}  // namespace

std::string WhyItWaits(const RunState& run, const ClusterState& state,
                       const CapacityIndex& capacity, int64_t held_for) {
  const Need need = NeedOf(run);
  const int64_t memory = capacity.MemoryAsked(need);
  std::vector<const Pool*> pools;
  for (const Pool* pool : capacity.PoolsFor(need)) {
    if (pool->width() >= run.ranks && pool->memory_bytes() >= memory) pools.push_back(pool);
  }
  if (pools.empty()) return NoWorker(run, state, memory);
  std::string reason =
      run.ranks > 1 ? WaitsForSlots(run, pools, held_for) : WaitsForOneSlot(need, pools, held_for);
  if (!need.root_id.empty()) {
    absl::StrAppend(&reason, "; only workers of one run root have its checkpoint");
  }
  if (!need.avoided_host.empty()) {
    absl::StrAppend(&reason, "; not on ", need.avoided_host, ", where it died before");
  }
  return reason;
}

std::string WhyItShares(const AgentState& agent, const Place& place, const Need& need) {
  const auto others = static_cast<int>(place.users.size());
  std::string reason =
      absl::StrFormat("shares %s of %s with %s: %d of at most %d", place.slot.device(), agent.host,
                      others == 1 ? absl::StrCat("run ", place.users.front()->run_id)
                                  : absl::StrCat(others, " runs"),
                      others + 1, std::min(place.sharers, need.max_sharers));
  if (place.memory_left == kNoLimit) return reason;
  const int64_t used = place.memory_limit() - place.memory_left + need.memory_bytes;
  return absl::StrCat(reason, ", ", Bytes(used), " of ", Bytes(place.memory_limit()));
}

}  // namespace allometry::schedule
