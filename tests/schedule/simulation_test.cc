// Seeds of the simulator (simulation.h). A failing one prints how to run it alone:
//
//   ALLO_SEEDS=17 scheduler_simulation_test --gtest_filter=SimulationTest.AThousandWorkers...
//
// ALLO_SEEDS=1-200 runs all of those, at the size of each test.
#include "tests/schedule/simulation.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tests/schedule/cluster_builder.h"

namespace allometry::schedule {
namespace {

// The seeds that are asked for, or those from 1 to `usual`.
std::vector<uint64_t> Seeds(uint64_t usual) {
  uint64_t first = 1, last = usual;
  if (const char* asked = std::getenv("ALLO_SEEDS"); asked != nullptr) {
    const std::pair<std::string, std::string> range =
        absl::StrSplit(asked, absl::MaxSplits('-', 1));
    EXPECT_TRUE(absl::SimpleAtoi(range.first, &first)) << "ALLO_SEEDS is '" << asked << "'";
    if (!absl::SimpleAtoi(range.second, &last)) last = first;
  }
  std::vector<uint64_t> seeds;
  for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  return seeds;
}

// Runs a seed; says what failed, and how to see it again. `over_bound`: the makespan allowed over
// the bound; 0: any.
void RunSeed(const SimulationOptions& options, double over_bound) {
  const SimulationResult result = Simulation(options).Run();
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string again = absl::StrFormat(
      "seed %d; alone: ALLO_SEEDS=%d scheduler_simulation_test --gtest_filter=%s.%s", options.seed,
      options.seed, test->test_suite_name(), test->name());
  EXPECT_EQ(result.error, "") << again;
  EXPECT_LE(result.late_start, 1) << "a run starved; " << again;
  const double ratio = result.makespan / result.bound;
  if (over_bound > 0) {
    EXPECT_LE(ratio, over_bound) << again;
  }
  if (std::getenv("ALLO_SEEDS") != nullptr || !result.error.empty()) {
    std::cout << absl::StrFormat(
        "seed %d makespan %.0f bound %.0f ratio %.4f latest_start %.2f starts %d shared %d "
        "preempted %d crashes %d cuts %d given_away %d\n",
        options.seed, result.makespan, result.bound, ratio, result.late_start, result.starts,
        result.shared, result.preempted, result.crashes, result.cuts, result.given_away);
  }
}

// The size of the issue; what else there is goes by the seed.
SimulationOptions AThousandWorkers(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.workers = 1000;
  options.runs = 10'000;
  options.max_slots = 1 << (seed % 4);
  options.sweeps = seed % 2 == 0 ? 10 : 1;
  options.children = seed % 4 == 0 ? 0.1 : 0;
  options.runs_per_slot = seed % 5 < 2 ? 4 : 1;
  options.compare_every = 500;
  return options;
}

TEST(SimulationTest, AThousandWorkersWithoutFaultsAreNearTheBound) {
  for (const uint64_t seed : Seeds(1)) RunSeed(AThousandWorkers(seed), 1.10);
}

SimulationOptions UnderFaults(uint64_t seed) {
  SimulationOptions options = AThousandWorkers(seed);
  options.priorities = seed % 3 == 0 ? 3 : 1;
  options.crash_every_s = 200'000;
  options.cut_every_s = 200'000;
  options.late = 0.1;
  return options;
}

TEST(SimulationTest, AThousandWorkersUnderFaultsLoseNothing) {
  for (const uint64_t seed : Seeds(1)) RunSeed(UnderFaults(seed), 1.10);
}

// The bound knows how long each run takes; the scheduler does not.
TEST(SimulationTest, AThousandWorkersUnderFaultsAndWrongExpectationsLoseNothing) {
  for (const uint64_t seed : Seeds(1)) {
    SimulationOptions options = UnderFaults(seed);
    options.wrong_by = 1.5;
    RunSeed(options, 1.25);
  }
}

// Small, so that slots are contested, gangs wait and the oracle looks at every decision.
TEST(SimulationTest, EveryDecisionOfASmallClusterIsTheOracles) {
  for (const uint64_t seed : Seeds(60)) {
    SimulationOptions options;
    options.seed = seed;
    options.workers = 2 + static_cast<int>(seed % 9);
    options.gangs = seed % 3 == 0 ? 0.6 : 0.2;
    options.ahead = seed % 3 == 1 ? 0.3 : 0;
    options.children = seed % 2 == 0 ? 0.2 : 0;
    options.sweeps = 1 + static_cast<int>(seed % 4);
    options.priorities = 1 + static_cast<int>(seed % 3);
    options.runs_per_slot = seed % 5 < 2 ? 4 : 1;
    options.wrong_by = seed % 4 == 1 ? 5 : 1;
    options.crash_every_s = 3000;
    options.cut_every_s = 3000;
    options.late = 0.3;
    options.probation = seed % 4 < 2 ? 0.5 : 0;
    options.first_pace_s = seed % 4 >= 2 ? 200 : 0;
    RunSeed(options, 0);
  }
}

constexpr double kSecond = 1e9;

TEST(SimulationTest, OneGangAmongAStreamOfNarrowRunsStarts) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4);
  std::mt19937 random(3);
  std::map<int64_t, double> left;
  int64_t next_id = 1;
  const auto add_narrow = [&] {
    const double work = 1 + static_cast<double>(random() % 100);
    // Expected far too short, so that they would always fill the held slots.
    cluster.Run(next_id, work).duration = 0.001;
    left[next_id++] = work;
  };
  for (int i = 0; i < 8; ++i) add_narrow();
  double now = 0;
  const int64_t gang = 1'000'000;
  for (int event = 0; event < 10'000; ++event) {
    // The sweep that holds nothing goes first, but not by more than its turn.
    if (event == 10)
      cluster.Run(gang, 4, 4, /*sweep_id=*/2).waiting_since_ns =
          static_cast<int64_t>(now * kSecond);
    for (const Assignment& start :
         Decide(cluster.state(), static_cast<int64_t>(now * kSecond)).assignments) {
      if (start.run_id == gang) return;
      cluster.state().runs.at(start.run_id).placement = {1, start.agent_id, start.slots};
    }
    double step = 1e300;
    for (const auto& [id, run] : cluster.state().runs) {
      if (run.placement.has_value()) step = std::min(step, left.at(id));
    }
    now += step;
    std::vector<int64_t> ended;
    for (auto& [id, run] : cluster.state().runs) {
      if (!run.placement.has_value()) continue;
      left.at(id) -= step;
      if (left.at(id) <= 1e-9) ended.push_back(id);
    }
    for (const int64_t id : ended) {
      cluster.state().runs.erase(id);
      add_narrow();
    }
  }
  FAIL() << "the gang starved behind narrow runs for " << now << " s";
}

}  // namespace
}  // namespace allometry::schedule
