// What is done to runs, with the real programs: they are stopped for others, share a slot, die on a
// broken host, hang and are ended. None of it changes a bit of what they train.
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kName[] = "scheduled";

std::string SweepYaml(const std::string& name, const std::string& sizes, int64_t tokens,
                      int devices = 1, int priority = 0) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "priority: %d\n"
      "model: {family: gpt, context: 16, sizes: [%s]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3}\n"
      "budgets: {tokens: [%d, %d, %d, %d]}\n"
      "devices: %d\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 100000\n"
      "log_every: 20\n"
      "checkpoint_every: 300ms\n",
      name, priority, sizes, tokens / 16, tokens / 4, tokens / 2, tokens, devices);
}

// Four runs of one rank, each of some seconds.
std::string FourRuns() { return SweepYaml(kName, "4k, 6k, 9k, 14k", 2'097'152); }

// Waits for the end; that every run succeeded and every point stands once is expected.
SweepResult ResultAtEnd(const Deployment& deployment) {
  EXPECT_TRUE(Eventually([&] { return HasEnded(deployment.Get(kName)); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  EXPECT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); }));
  const SweepResult result = ResultOf(deployment, kName, /*with_fit=*/true);
  EXPECT_THAT(Repeated(result.points), IsEmpty());
  return result;
}

std::vector<int64_t> RunningRuns(const v1::GetSweepResponse& sweep) {
  std::vector<int64_t> running;
  for (const v1::Run& run : sweep.runs()) {
    if (run.state() == v1::LEASED && run.step() > 0) running.push_back(run.run_id());
  }
  return running;
}

// The four runs undisturbed, on slots of their own. Once for all tests.
const SweepResult& Undisturbed() {
  static const SweepResult result = [] {
    Deployment deployment;
    deployment.Submit(FourRuns());
    return ResultAtEnd(deployment);
  }();
  return result;
}

TEST(SchedulingTest, ARunMakesRoomForOneOfAHigherPriorityAndGoesOnWithTheSameCurve) {
  DeploymentOptions options;
  options.coordinator_flags = {"--preempt-after", "300ms", "--preempt-within", "20s"};
  Deployment deployment(options);
  deployment.Submit(FourRuns());
  ASSERT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get(kName);
    const std::vector<int64_t> running = RunningRuns(sweep);
    return running.size() == 2 && sweep.runs(static_cast<int>(running[1]) - 1).step() > 200;
  })) << deployment.Logs();
  deployment.Submit(SweepYaml("urgent", "5k", 65'536, /*devices=*/1, /*priority=*/5));
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get("urgent")); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get("urgent")), IsEmpty());
  const SweepResult result = ResultAtEnd(deployment);

  const char* victim = "SELECT run_id FROM attempts WHERE exit_reason = 'PREEMPTED'";
  ASSERT_EQ(deployment.Query(victim).size(), 1u) << deployment.Logs();
  const std::string run_id = deployment.Query(victim)[0];
  EXPECT_THAT(deployment.Query("SELECT stop || ' ' || stop_within_ms FROM attempts "
                               "WHERE exit_reason = 'PREEMPTED'"),
              ElementsAre("PREEMPT 20000"));
  EXPECT_THAT(deployment.Query("SELECT text FROM events WHERE text LIKE '%is preempted%'"),
              ElementsAre(absl::StrFormat("run %s is preempted: it makes room for run 5, which has "
                                          "priority 5 against 0",
                                          run_id)));
  // Two fill the slots, then comes the urgent one, before those of its own sweep that waited
  // longer.
  EXPECT_EQ(deployment.Query("SELECT run_id FROM attempts ORDER BY started_unix_us")[2], "5");
  const v1::Run run = deployment.Get(kName).runs(std::stoi(run_id) - 1);
  EXPECT_EQ(run.attempt(), 2);
  EXPECT_EQ(run.failures(), 0);
  EXPECT_THAT(deployment.Query("SELECT min(start_step) > 0 FROM attempts WHERE attempt = 2"),
              ElementsAre("1"))
      << "it began anew";
  EXPECT_THAT(Differences(Undisturbed(), result), IsEmpty());
}

TEST(SchedulingTest, RunsThatShareASlotHaveTheCurvesThatTheyHaveAlone) {
  DeploymentOptions options;
  options.slots = "cpu:1";
  options.worker_flags = {{"--runs-per-device", "3"}};
  Deployment deployment(options);
  deployment.Submit(FourRuns());
  EXPECT_TRUE(Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get(kName);
    return RunningRuns(sweep).size() >= 2 || HasEnded(sweep);
  }));
  EXPECT_FALSE(HasEnded(deployment.Get(kName))) << "no two of them ran at once";
  const SweepResult result = ResultAtEnd(deployment);
  EXPECT_THAT(deployment.Query("SELECT count(DISTINCT slots) FROM attempts"), ElementsAre("1"));
  EXPECT_THAT(deployment.Query("SELECT count(*) FROM attempts"), ElementsAre("4"));
  EXPECT_THAT(Differences(Undisturbed(), result), IsEmpty());
}

TEST(SchedulingTest, AHostThatKillsRunsIsDrainedAndItsRunsEndElsewhere) {
  // A trainer that dies without a word, as one does on a broken machine.
  const TemporaryFolder folder;
  const std::string killer = folder.Path("trainer");
  ASSERT_TRUE(
      WriteFileAtomically(killer, "#!/bin/sh\n[ $1 = --self-test ] && exit 0\nkill -9 $$\n").ok());
  ASSERT_EQ(chmod(killer.c_str(), 0755), 0);
  DeploymentOptions options;
  options.workers = 2;
  options.slots = "cpu:1";
  options.worker_flags = {{"--trainer", killer}};
  Deployment deployment(options);
  // Both are there before the first run is: the last host is never drained.
  ASSERT_TRUE(Eventually([&] {
    const std::string workers = deployment.Allo({"workers"});
    return absl::StrContains(workers, "\nhost-0 ") && absl::StrContains(workers, "\nhost-1 ");
  })) << deployment.Allo({"workers"});
  deployment.Submit(FourRuns());
  const SweepResult result = ResultAtEnd(deployment);
  EXPECT_THAT(deployment.Query("SELECT DISTINCT exit_reason FROM attempts WHERE host = 'host-0'"),
              ElementsAre("KILLED"));
  EXPECT_THAT(deployment.Query("SELECT host FROM attempts WHERE exit_reason = 'SUCCEEDED'"),
              ElementsAre("host-1", "host-1", "host-1", "host-1"));
  EXPECT_THAT(Differences(Undisturbed(), result), IsEmpty());
}

TEST(SchedulingTest, ARankThatStopsIsSeenAsStalledAndTheRunGoesOn) {
  DeploymentOptions options;
  options.worker_flags = {{"--stall-floor", "2s"}};
  const std::string yaml = SweepYaml(kName, "9k", 6'291'456, /*devices=*/2);
  Deployment deployment(options);
  deployment.Submit(yaml);
  const auto run = [&] { return deployment.Get(kName).runs(0); };
  // The usual time between two records is known after a few; they come with the checkpoints.
  std::set<int64_t> steps;
  ASSERT_TRUE(Eventually([&] {
    steps.insert(run().step());
    return steps.size() > 5 && run().has_checkpoint();
  })) << deployment.Logs();
  ASSERT_TRUE(deployment.SignalRank(1, 1, SIGSTOP)) << "the run had ended before";
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get(kName)); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  EXPECT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); })) << "the stopped rank is left";
  EXPECT_THAT(deployment.Query("SELECT exit_reason FROM attempts ORDER BY attempt"),
              ElementsAre("STALLED", "SUCCEEDED"));
  EXPECT_THAT(deployment.Query("SELECT exit_message FROM attempts WHERE attempt = 1").at(0),
              HasSubstr("the usual time between two is"));
  EXPECT_THAT(deployment.Query("SELECT start_step > 0 FROM attempts WHERE attempt = 2"),
              ElementsAre("1"));
  EXPECT_EQ(run().failures(), 0);  // tries are counted since the last new checkpoint
  Deployment quiet(options);
  quiet.Submit(yaml);
  ASSERT_TRUE(Eventually([&] { return HasEnded(quiet.Get(kName)); })) << quiet.Logs();
  EXPECT_THAT(Differences(ResultOf(quiet, kName, /*with_fit=*/false),
                          ResultOf(deployment, kName, /*with_fit=*/false)),
              IsEmpty());
}

}  // namespace
}  // namespace allometry::testing
