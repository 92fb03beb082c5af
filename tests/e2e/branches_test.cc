// A warm-up-stable-decay sweep through the real programs: what sharing saves is what was planned,
// and nothing that dies on the way changes a bit.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/cost/throughput.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::ElementsAre;

constexpr char kName[] = "branches";

// Two sizes of 512 tokens an update, the larger on `ranks`; `tokens` is the largest budget.
std::string SweepYaml(int64_t tokens, int ranks = 1) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [5k, 10k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3, schedule: wsd}\n"
      "budgets: {tokens: [%d, %d, %d]}\n"
      "devices: {default: 1, 10k: %d}\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 1000\n"
      "log_every: 1\n"
      "checkpoint_every: 1s\n",
      kName, tokens / 4, tokens / 2, tokens, ranks);
}

bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get(kName)); });
}

const v1::Run& Trunk(const v1::GetSweepResponse& sweep, const std::string& size) {
  for (const v1::Run& run : sweep.runs()) {
    if (run.size() == size && run.spec().checkpoint_steps_size() > 0) return run;
  }
  ADD_FAILURE() << "no trunk of " << size;
  return sweep.runs(0);
}

// Updates that the sweep is planned to train.
int64_t PlannedSteps(const v1::GetSweepResponse& sweep) {
  int64_t steps = 0;
  for (const v1::Run& run : sweep.runs()) steps += run.spec().steps() - cost::FirstStep(run);
  return steps;
}

bool HasEnded(const v1::GetSweepResponse& sweep) {
  return std::none_of(sweep.runs().begin(), sweep.runs().end(), [](const v1::Run& run) {
    return run.state() == v1::PENDING || run.state() == v1::LEASED;
  });
}

void ExpectAllSucceeded(const v1::GetSweepResponse& sweep) {
  for (const v1::Run& run : sweep.runs()) {
    EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED) << run.run_id() << ": " << run.reason();
    EXPECT_EQ(run.step(), run.spec().steps()) << run.run_id();
  }
  for (const v1::Cell& cell : sweep.cells()) EXPECT_TRUE(cell.done()) << cell.cell_id();
}

// CSV lines without the column that says which attempt a line is of.
std::vector<std::string> WithoutAttempt(std::vector<std::string> lines) {
  const std::vector<std::string> names = absl::StrSplit(lines.front(), ',');
  const auto column = std::find(names.begin(), names.end(), "attempt") - names.begin();
  for (std::string& line : lines) {
    std::vector<std::string> values = absl::StrSplit(line, ',');
    values.erase(values.begin() + column);
    line = absl::StrJoin(values, ",");
  }
  return lines;
}

struct Outcome {
  v1::GetSweepResponse sweep;
  std::vector<std::string> train, heldout, observations;
};

Outcome RunSweep(const std::string& yaml, const std::function<void(Deployment&)>& disturb) {
  Deployment deployment;
  deployment.Submit(yaml);
  disturb(deployment);
  EXPECT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();
  Outcome outcome;
  outcome.sweep = deployment.Get(kName);
  ExpectAllSucceeded(outcome.sweep);
  outcome.train = WithoutAttempt(deployment.Export(kName, "points", "train"));
  outcome.heldout = WithoutAttempt(deployment.Export(kName, "points", "heldout"));
  outcome.observations = WithoutAttempt(deployment.Export(kName, "observations", "heldout"));
  return outcome;
}

// A point is logged after every update, so undisturbed curves are as long as the training was.
TEST(BranchesTest, BranchesStartFromTheirTrunkAndCostWhatWasPlanned) {
  const Outcome outcome = RunSweep(SweepYaml(524'288), [](Deployment&) {});  // 1024 updates
  ASSERT_EQ(outcome.sweep.runs_size(), 8);
  ASSERT_EQ(outcome.sweep.cells_size(), 6);
  // A trunk to 1024 - 205 and branches of 51, 102 and 205 updates, of each size.
  EXPECT_EQ(PlannedSteps(outcome.sweep), 2 * (819 + 51 + 102 + 205));
  EXPECT_EQ(static_cast<int64_t>(outcome.train.size()) - 1, PlannedSteps(outcome.sweep));
  // Fits read the ends of the six branches.
  EXPECT_EQ(outcome.observations.size(), 1u + 6u);
}

TEST(BranchesTest, KillingEveryProcessOnceChangesNothing) {
  const std::string yaml = SweepYaml(2'097'152, /*ranks=*/2);
  const Outcome quiet = RunSweep(yaml, [](Deployment&) {});
  bool rank_killed = false;
  const Outcome disturbed = RunSweep(yaml, [&](Deployment& deployment) {
    const auto trunk_past = [&](double share) {
      return WaitUntil(deployment, [&](const v1::GetSweepResponse& sweep) {
        const v1::Run& trunk = Trunk(sweep, "10k");
        return static_cast<double>(trunk.step()) >=
               share * static_cast<double>(trunk.spec().steps());
      });
    };
    ASSERT_TRUE(trunk_past(0.1));
    rank_killed = deployment.KillRank(Trunk(deployment.Get(kName), "10k").run_id(), 1);
    ASSERT_TRUE(trunk_past(0.3));
    deployment.KillAndRestartWorker();
    ASSERT_TRUE(trunk_past(0.5));
    deployment.KillAndRestartCoordinator();
    ASSERT_TRUE(trunk_past(0.7));
    deployment.StopAndRestartWorker();
    ASSERT_TRUE(trunk_past(1));
    deployment.KillAndRestartWorker();  // while branches run
  });
  EXPECT_TRUE(rank_killed) << "the trunk had ended before: give it more tokens";
  EXPECT_EQ(quiet.train, disturbed.train);
  EXPECT_EQ(quiet.heldout, disturbed.heldout);
  EXPECT_EQ(quiet.observations, disturbed.observations);
}

TEST(BranchesTest, ALargerBudgetContinuesTheTrunkAndABudgetBetweenNamesItsCost) {
  Deployment deployment;
  deployment.Submit(SweepYaml(131'072));
  ASSERT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();
  // 64, 128 and 256 updates before; now 128, 256 and 512.
  const v1::CreateSweepResponse more = deployment.Submit(SweepYaml(262'144));
  EXPECT_THAT(std::vector<std::string>(more.changes().begin(), more.changes().end()),
              ElementsAre("adds a branch to 5k: 262144 tokens, falling from step 410 to step 512",
                          "adds a branch to 10k: 262144 tokens, falling from step 410 to step 512",
                          "raises trunk 5k: from step 205 to step 410, 1 more checkpoint to branch "
                          "from",
                          "raises trunk 10k: from step 205 to step 410, 1 more checkpoint to "
                          "branch from",
                          "removes nothing: 2 cells not in the file stay"));
  ASSERT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();
  const v1::GetSweepResponse sweep = deployment.Get(kName);
  ExpectAllSucceeded(sweep);
  EXPECT_EQ(Trunk(sweep, "5k").attempt(), 2);
  // The trunks did not train their first 205 updates again: each point is of the attempt that was
  // first.
  const std::vector<std::string> train = deployment.Export(kName, "points", "train");
  EXPECT_EQ(static_cast<int64_t>(train.size()) - 1, PlannedSteps(sweep));
  const std::string begin = absl::StrFormat("%d,5k,train,205,", Trunk(sweep, "5k").run_id());
  const auto last = std::find_if(train.begin(), train.end(), [&](const std::string& line) {
    return line.compare(0, begin.size(), begin) == 0;
  });
  ASSERT_NE(last, train.end());
  EXPECT_EQ(last->back(), '1') << *last;
}

}  // namespace
}  // namespace allometry
