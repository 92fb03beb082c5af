// Hundreds of sweeps on few slots, decided again and again as runs end: as the plain oracle does.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/decided.h"

namespace allometry::schedule {
namespace {

struct Mix {
  int sweeps, runs, needs, slots;
  double gangs, ahead;
};

ClusterState MakeState(const Mix& mix, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  ClusterBuilder cluster;
  for (int i = 0; i < 4; ++i) {
    cluster.Worker(absl::StrCat("w", i), mix.slots);
    for (v1::Slot& slot : cluster.state().agents.at(absl::StrCat("w", i)).slots) {
      slot.set_memory_bytes(1000);
      slot.set_runs(i % 2 + 1);
    }
  }
  for (int64_t id = 1; id <= mix.runs; ++id) {
    const int64_t sweep_id = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(mix.sweeps));
    const int ranks = uniform(random) < mix.gangs ? 2 : 1;
    RunState& run = cluster.Run(id, std::pow(10.0, 1 + 3 * uniform(random)), ranks, sweep_id);
    run.priority = static_cast<int32_t>(sweep_id % 3);
    run.ahead = uniform(random) < mix.ahead;
    run.waiting_since_ns = static_cast<int64_t>(random() % 1000);
    run.memory_bytes =
        100 + 900 * static_cast<int64_t>(random() % static_cast<uint64_t>(mix.needs)) / mix.needs;
    if (uniform(random) < 0.05) run.blocked = "its input";
    run.max_sharers = 1 + static_cast<int32_t>(random() % 2);
  }
  return cluster.state();
}

// Starts what was decided and ends some of what runs, folded into one scheduler that is kept.
void Play(const Mix& mix, uint64_t seed) {
  std::mt19937_64 random(seed);
  const ClusterState state = MakeState(mix, random);
  Scheduler scheduler;
  for (const auto& [agent_id, agent] : state.agents) scheduler.PutAgent(agent);
  for (const auto& [run_id, run] : state.runs) scheduler.PutRun(run);
  for (int64_t now_ns = 2'000'000'000'000; now_ns < 2'000'000'000'030; ++now_ns) {
    const Decision decision = scheduler.Decide(now_ns);
    ASSERT_EQ(Text(decision), Text(PlainDecide(scheduler.state(), now_ns))) << "seed " << seed;
    for (const Assignment& start : decision.assignments) {
      scheduler.ChangeRun(start.run_id, [&](RunState& run) {
        run.placement = {1, start.agent_id, start.slots};
        run.started_ns = now_ns;
      });
    }
    for (const Preemption& preemption : decision.preemptions) {
      scheduler.ChangeRun(preemption.run_id, [](RunState& run) { run.stopping = true; });
    }
    std::vector<int64_t> ended;
    for (const auto& [run_id, run] : scheduler.state().runs) {
      if (run.placement.has_value() && (run.stopping || random() % 4 == 0)) ended.push_back(run_id);
    }
    for (const int64_t run_id : ended) {
      if (random() % 5 == 0) {
        scheduler.ChangeRun(run_id, [](RunState& run) {
          run.placement.reset();
          run.stopping = false;
        });
      } else {
        scheduler.RemoveRun(run_id);
      }
    }
  }
}

TEST(ManySweepsTest, DecidesAsThePlainOracle) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Play({.sweeps = 300, .runs = 500, .needs = 1, .slots = 3, .gangs = 0, .ahead = 0}, seed);
    Play({.sweeps = 300, .runs = 500, .needs = 20, .slots = 3, .gangs = 0, .ahead = 0.02}, seed);
    Play({.sweeps = 200, .runs = 400, .needs = 3, .slots = 4, .gangs = 0.2, .ahead = 0.02}, seed);
    Play({.sweeps = 500, .runs = 500, .needs = 50, .slots = 20, .gangs = 0.1, .ahead = 0}, seed);
  }
}

}  // namespace
}  // namespace allometry::schedule
