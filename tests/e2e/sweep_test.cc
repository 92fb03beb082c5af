// A whole sweep through the real programs, undisturbed and under fire.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <thread>

#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "data/strata/entropy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::allometry::testing::Differences;
using ::allometry::testing::HasEnded;
using ::allometry::testing::Repeated;
using ::allometry::testing::ResultOf;
using ::allometry::testing::SweepResult;
using ::allometry::testing::Unfinished;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kName[] = "e2e";

// Three sizes, the largest on two ranks. `tokens` is the largest budget.
std::string SweepYaml(int64_t tokens) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [5k, 10k, 20k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: {5k: 1e-2, 20k: 5e-3}}\n"
      "budgets: {tokens: [%d, %d, %d]}\n"
      "devices: {default: 1, 20k: 2}\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 1000\n"
      "log_every: 20\n"
      "checkpoint_every: 1s\n",
      kName, tokens / 4, tokens / 2, tokens);
}

// Polls the sweep until it is so. What a coordinator that is down does not answer is waited for.
bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get(kName)); });
}

const v1::Run& TwoRankRun(const v1::GetSweepResponse& sweep) {
  return *std::find_if(sweep.runs().begin(), sweep.runs().end(),
                       [](const v1::Run& run) { return run.spec().ranks() == 2; });
}

class SweepTest : public ::testing::Test {
 protected:
  // Runs the sweep to its end while `disturb` does what it likes.
  SweepResult RunSweep(int64_t tokens, const std::function<void(Deployment&)>& disturb) {
    Deployment deployment;
    deployment.Submit(SweepYaml(tokens));
    disturb(deployment);
    EXPECT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();
    EXPECT_TRUE(WaitUntil(deployment, [&](const auto&) { return deployment.NoTrainerLeft(); }));
    last_sweep_ = deployment.Get(kName);
    EXPECT_THAT(Unfinished(last_sweep_), IsEmpty());
    const SweepResult result = ResultOf(deployment, kName, /*with_fit=*/false);
    if (HasFailure()) std::cerr << deployment.Logs();
    return result;
  }

  v1::GetSweepResponse last_sweep_;
};

TEST_F(SweepTest, RunsFromAFileToObservations) {
  const SweepResult result = RunSweep(65'536, [](Deployment&) {});
  EXPECT_EQ(last_sweep_.runs_size(), 3);
  EXPECT_EQ(last_sweep_.cells_size(), 9);
  EXPECT_THAT(result.points, SizeIs(Gt(1u)));
  EXPECT_THAT(Repeated(result.points), IsEmpty());
  EXPECT_GE(result.observations.size(), 1u + static_cast<size_t>(last_sweep_.cells_size()));
  // Learned something: under the entropy of guessing each byte of the vocabulary alike.
  for (const v1::Cell& cell : last_sweep_.cells()) {
    EXPECT_GT(cell.loss(), 0.1);
    EXPECT_LT(cell.loss(), 2.9);
  }
}

TEST_F(SweepTest, AGeneratedWorldNeedsNoFilesAndNoModelBeatsItsEntropy) {
  const std::string text = "strata:view=8,zo=16,library=16,frames=2";
  const data::Manifest manifest = *data::GeneratedManifest(text);
  Deployment deployment;
  const v1::CreateSweepResponse made = deployment.Submit(
      absl::StrFormat(
          "name: %s\n"
          "dataset: \"%s\"\n"
          "model: {family: gpt, frames: 2, shapes: [{layers: 1, heads: 2, width: 16}]}\n"
          "training: {objective: observation, batch_sequences: 16, warmup_steps: 20,\n"
          "           learning_rate: 1e-2}\n"
          "budgets: {tokens: [217600]}\n"
          "evaluation: {windows: 64}\n",
          kName, text),
      data::ManifestJson(manifest));
  EXPECT_EQ(made.sweep().dataset(), manifest.name);
  ASSERT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();
  const v1::GetSweepResponse sweep = deployment.Get(kName);
  EXPECT_THAT(Unfinished(sweep), IsEmpty());
  const strata::EntropyEstimate least = strata::EstimateEntropy(
      strata::World(*strata::ParseSpec(text)), {.frames = 2, .standard_error = 0.01});
  // Guessing costs ln 4104 = 8.3 nats, and half of all cells are ground.
  EXPECT_LT(sweep.cells(0).loss(), 5);
  EXPECT_GT(sweep.cells(0).loss(), least.nats_per_token);
}

TEST_F(SweepTest, TheSameFileTwiceAddsNothing) {
  Deployment deployment;
  EXPECT_FALSE(deployment.Submit(SweepYaml(16'384)).existed());
  ASSERT_TRUE(WaitUntil(deployment, HasEnded));
  const v1::CreateSweepResponse again = deployment.Submit(SweepYaml(16'384));
  EXPECT_TRUE(again.existed());
  EXPECT_THAT(again.changes(), IsEmpty());
  EXPECT_TRUE(HasEnded(deployment.Get(kName)));
}

TEST_F(SweepTest, KillingEveryProcessOnceChangesNothing) {
  // Long enough that the two-rank run outlasts four disturbances on a fast machine: its spool is
  // flushed once a second, so each costs a second or two of training.
  constexpr int64_t kTokens = 8'388'608;
  const SweepResult quiet = RunSweep(kTokens, [](Deployment&) {});
  bool rank_killed = false;
  const SweepResult disturbed = RunSweep(kTokens, [&](Deployment& deployment) {
    int64_t step = 0;
    const auto two_ranks_past = [&](int64_t steps) {
      return WaitUntil(deployment, [&](const v1::GetSweepResponse& sweep) {
        step = TwoRankRun(sweep).step();
        return step >= steps || TwoRankRun(sweep).state() == v1::RUN_SUCCEEDED;
      });
    };
    ASSERT_TRUE(two_ranks_past(200));
    rank_killed = deployment.KillRank(TwoRankRun(deployment.Get(kName)).run_id(), 1);
    ASSERT_TRUE(two_ranks_past(step + 200));
    deployment.KillAndRestartWorker();
    ASSERT_TRUE(two_ranks_past(step + 200));
    deployment.KillAndRestartCoordinator();
    ASSERT_TRUE(two_ranks_past(step + 200));
    deployment.StopAndRestartWorker();
  });
  EXPECT_TRUE(rank_killed) << "the run had ended before: give it more tokens";
  const v1::Run& run = TwoRankRun(last_sweep_);
  EXPECT_GE(run.attempt(), 4) << run.reason();
  EXPECT_THAT(Differences(quiet, disturbed), IsEmpty());
}

}  // namespace
}  // namespace allometry
