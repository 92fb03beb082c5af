// Time of one decision of the scheduler while 10,000 runs and more go over 1,000 workers, in
// virtual time: whenever runs end, a decision is made, and what it says is done.
//
// One line a mix:
//   scheduler mix=one-sweep slots=8000 decisions=N p50_ms=... p99_ms=... max_ms=... fold_p99_ms=...
// In CPU time. `max_ms` is the first decision, which starts a run on every slot. `fold`: what the
// index needs for the runs that ended and started in between.
#include "coordinator/schedule/scheduler.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::schedule {
namespace {

struct Mix {
  const char* name;
  int slots_each;
  int sweeps;
  int priorities;
  double gangs;  // share of the runs with 2, 4 or 8 ranks
  int32_t runs_per_slot;
  int sizes;  // different memory needs
  int runs = 10'000;
};

constexpr int kWorkers = 1'000;
constexpr Mix kMixes[] = {
    {"one-sweep", 8, 1, 1, 0.2, 1, 20},
    {"ten-sweeps", 8, 10, 3, 0.2, 1, 20},
    {"one-slot-workers", 1, 1, 1, 0, 1, 20},
    {"ten-sweeps-one-slot", 1, 10, 3, 0, 1, 20},
    {"shared-devices", 2, 10, 3, 0.1, 4, 20},
    {"ten-thousand-sweeps", 1, 10'000, 3, 0, 1, 20, 50'000},
    {"ten-thousand-gangs", 8, 10'000, 3, 0.2, 1, 20, 50'000},
    {"ten-thousand-shared", 2, 10'000, 3, 0.1, 4, 20, 50'000},
};

// CPU time of this thread: other work on a busy machine is not the scheduler's.
double CpuMilliseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

double Percentile(std::vector<double> sorted, double share) {
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

AgentState Worker(int number, const Mix& mix) {
  AgentState agent;
  agent.agent_id = absl::StrFormat("%08x-worker", number * 2654435761u);
  agent.host = absl::StrCat("host-", number);
  agent.run_root_id = absl::StrCat("root-", number % 10);
  agent.dataset_hashes = {"aa11bb22cc33dd44", "1122334455667788"};
  agent.live = true;
  for (int i = 0; i < mix.slots_each; ++i) {
    v1::Slot& slot = agent.slots.emplace_back();
    slot.set_host(agent.host);
    slot.set_device(absl::StrCat("cuda:", i));
    slot.set_memory_bytes(80'000'000'000);
    slot.set_runs(mix.runs_per_slot);
  }
  return agent;
}

RunState Waiting(int64_t id, const Mix& mix, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  RunState run;
  run.run_id = id;
  run.sweep_id = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(mix.sweeps));
  run.priority = static_cast<int32_t>(run.sweep_id % mix.priorities);
  run.device = run::DeviceKind::kCuda;
  run.dataset_hash = run.sweep_id % 2 == 0 ? "aa11bb22cc33dd44" : "1122334455667788";
  if (uniform(random) < mix.gangs) run.ranks = 2 << (random() % 3);
  run.ranks = std::min(run.ranks, mix.slots_each);
  run.duration = run.flops_remaining = std::pow(10.0, 1 + 3.5 * uniform(random));
  const auto size = static_cast<int>(random() % static_cast<uint64_t>(mix.sizes));
  run.memory_bytes = static_cast<int64_t>(1e9 * std::pow(70.0, size / (mix.sizes - 1.0)));
  return run;
}

// time -> run
using Times = std::priority_queue<std::pair<double, int64_t>,
                                  std::vector<std::pair<double, int64_t>>, std::greater<>>;

// What was preempted waits again, unless it ended before; nothing is lost.
void Stop(Scheduler& scheduler, int64_t run_id, double now) {
  if (scheduler.state().runs.count(run_id) == 0) return;
  scheduler.ChangeRun(run_id, [now](RunState& run) {
    run.duration -= now - static_cast<double>(run.started_ns) * 1e-9;
    run.duration = run.flops_remaining = std::max(1.0, run.duration);
    run.placement.reset();
    run.stopping = false;
  });
}

void Measure(const Mix& mix) {
  std::mt19937_64 random(1);
  Scheduler scheduler;
  for (int i = 0; i < kWorkers; ++i) scheduler.PutAgent(Worker(i, mix));
  for (int64_t id = 1; id <= mix.runs; ++id) scheduler.PutRun(Waiting(id, mix, random));
  Times ends, stops;
  std::vector<double> decisions, folds;
  double now = 0;
  for (;;) {
    const int64_t now_ns = static_cast<int64_t>(now * 1e9);
    double begin = CpuMilliseconds();
    const Decision decision = scheduler.Decide(now_ns);
    decisions.push_back(CpuMilliseconds() - begin);
    begin = CpuMilliseconds();
    for (const Assignment& start : decision.assignments) {
      scheduler.ChangeRun(start.run_id, [&](RunState& run) {
        run.placement = {1, start.agent_id, start.slots};
        run.started_ns = now_ns;
      });
      ends.emplace(now + scheduler.state().runs.at(start.run_id).duration, start.run_id);
    }
    for (const Preemption& preemption : decision.preemptions) {
      scheduler.ChangeRun(preemption.run_id, [](RunState& run) { run.stopping = true; });
      stops.emplace(now + 5, preemption.run_id);
    }
    if (decisions.size() > 1) folds.push_back(CpuMilliseconds() - begin);
    if (ends.empty()) break;
    if (!stops.empty() && stops.top().first <= ends.top().first) {
      now = stops.top().first;
      Stop(scheduler, stops.top().second, now);
      stops.pop();
      continue;
    }
    now = ends.top().first;
    const auto run = scheduler.state().runs.find(ends.top().second);
    // An end that was expected before the run was stopped is not one.
    if (run != scheduler.state().runs.end() && run->second.placement.has_value() &&
        static_cast<double>(run->second.started_ns) * 1e-9 + run->second.duration <= now + 1e-3) {
      scheduler.RemoveRun(run->first);
    }
    ends.pop();
  }
  std::sort(decisions.begin(), decisions.end());
  std::sort(folds.begin(), folds.end());
  absl::PrintF(
      "scheduler mix=%s slots=%d decisions=%d p50_ms=%.4f p99_ms=%.4f max_ms=%.2f "
      "fold_p99_ms=%.4f\n",
      mix.name, kWorkers * mix.slots_each, decisions.size(), Percentile(decisions, 0.5),
      Percentile(decisions, 0.99), decisions.back(), Percentile(folds, 0.99));
}

}  // namespace
}  // namespace allometry::schedule

int main() {
  for (const allometry::schedule::Mix& mix : allometry::schedule::kMixes) {
    allometry::schedule::Measure(mix);
  }
}
