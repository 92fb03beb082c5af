// What a plan says, against what a sweep then takes: exact in runs, tokens and FLOPs; only what is
// new of a sweep that grew; budgets that stop real trainers.
#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::HasSubstr;

struct Asked {
  std::string sizes = "[5k, 10k, 20k]";
  int64_t tokens = 51'200;  // the largest budget
  std::string more = "devices: {default: 1, 20k: 2}\n";
};

std::string SweepYaml(const Asked& asked) {
  return absl::StrFormat(
      "name: planned\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: %s}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3}\n"
      "budgets: {tokens: [%d, %d]}\n"
      "evaluation: {windows: 64}\n"
      "max_epochs: 1000\n"
      "checkpoint_every: 1s\n%s",
      asked.sizes, asked.tokens / 2, asked.tokens, asked.more);
}

class PlanE2eTest : public ::testing::Test {
 protected:
  nlohmann::json Plan(const Asked& asked) {
    const nlohmann::json plan = nlohmann::json::parse(
        deployment_.Allo({"plan", deployment_.Write("planned.yaml", SweepYaml(asked)), "--json",
                          "--measure-time", "100ms"}));
    EXPECT_TRUE(plan["notes"].empty()) << plan["notes"];
    return plan;
  }
  v1::GetSweepResponse WaitUntil(
      const std::function<bool(const v1::GetSweepResponse&)>& condition) {
    v1::GetSweepResponse sweep;
    EXPECT_TRUE(testing::Eventually([&] {
      sweep = deployment_.Get("planned");
      return condition(sweep);
    })) << deployment_.Logs();
    return sweep;
  }
  static bool AllSucceeded(const v1::GetSweepResponse& sweep) {
    return std::all_of(sweep.runs().begin(), sweep.runs().end(),
                       [](const v1::Run& run) { return run.state() == v1::RUN_SUCCEEDED; });
  }

  Deployment deployment_;
};

TEST_F(PlanE2eTest, PlanIsExactInRunsTokensAndFlopsAndOfAGrownSweepCountsWhatIsNew) {
  const nlohmann::json plan = Plan({});
  EXPECT_EQ(plan["runs"].size(), 3u);
  for (const auto& run : plan["runs"]) {
    EXPECT_GT(run["seconds"], 0) << run;
    EXPECT_TRUE(run["memory_measured"]);
  }
  EXPECT_GT(plan["makespan_seconds"], 0);
  deployment_.Submit(SweepYaml({}));
  const v1::GetSweepResponse done = WaitUntil(AllSucceeded);
  double tokens = 0, flops = 0;
  std::set<std::string> keys;
  for (const v1::Run& run : done.runs()) {
    keys.insert(run.key());
    tokens += static_cast<double>(run.step() * run.spec().identity().batch_tokens());
    flops += static_cast<double>(run.step() * run.spec().identity().batch_tokens()) *
             run.flops_per_token_6n();
    EXPECT_GT(run.device_seconds(), 0);
  }
  EXPECT_GT(done.sweep().device_seconds(), 0);
  for (const auto& run : plan["runs"]) EXPECT_EQ(keys.count(run["key"]), 1u) << run;
  EXPECT_EQ(plan["tokens"].get<double>(), tokens);
  EXPECT_EQ(plan["flops"].get<double>(), flops);

  const nlohmann::json again = Plan({});
  EXPECT_EQ(again["flops"], 0);
  EXPECT_EQ(again["changes"][0], "nothing: the sweep exists with all of this");

  // One more size and a budget of twice the tokens: the old runs from where they are.
  const Asked grown{.sizes = "[5k, 10k, 20k, 40k]", .tokens = 102'400};
  const nlohmann::json more = Plan(grown);
  EXPECT_EQ(more["tokens"], 3 * 51'200 + 102'400);
  deployment_.Submit(SweepYaml(grown));
  const v1::GetSweepResponse after = WaitUntil(AllSucceeded);
  double flops_after = 0;
  for (const v1::Run& run : after.runs()) {
    flops_after += static_cast<double>(run.step() * run.spec().identity().batch_tokens()) *
                   run.flops_per_token_6n();
  }
  EXPECT_DOUBLE_EQ(more["flops"].get<double>(), flops_after - flops);
  // And that is what was trained: an old run's newest attempt began at its old last step.
  for (const v1::Run& run : after.runs()) {
    EXPECT_EQ(run.step(), 200);
    EXPECT_EQ(run.attempt(), run.size() == "40k" ? 1 : 2);
  }
}

TEST_F(PlanE2eTest, RunsStopAtTheirLimitWithACheckpointAndGoOnWhenItIsRaised) {
  // Far more than three seconds of training.
  Asked asked{.sizes = "[5k]", .tokens = 512'000'000};
  asked.more = "limits: {max_run_hours: 0.0008}\n";
  deployment_.Submit(SweepYaml(asked));
  const auto failed = [](const v1::GetSweepResponse& sweep) {
    return sweep.runs(0).state() == v1::RUN_FAILED;
  };
  v1::GetSweepResponse sweep = WaitUntil(failed);
  EXPECT_EQ(sweep.runs(0).failure(), v1::LIMIT);
  EXPECT_THAT(sweep.runs(0).reason(), HasSubstr("limits.max_run_hours 0.0008"));
  const int64_t stopped_at = sweep.runs(0).checkpoint().step();
  EXPECT_GT(stopped_at, 0);
  EXPECT_EQ(stopped_at, sweep.runs(0).step());

  // A budget for the whole sweep in its place, some seconds more: it goes on, and waits.
  asked.more = absl::StrFormat("limits: {max_device_hours: %g}\n",
                               (sweep.sweep().device_seconds() + 3) / 3600);
  deployment_.Submit(SweepYaml(asked));
  sweep = WaitUntil([&](const v1::GetSweepResponse& now) {
    return now.runs(0).state() == v1::PENDING && now.runs(0).attempt() == 2;
  });
  EXPECT_THAT(sweep.runs(0).reason(), HasSubstr("the sweep's budget of"));
  EXPECT_GT(sweep.runs(0).checkpoint().step(), stopped_at);
  EXPECT_THAT(deployment_.Allo({"runs", "planned"}), HasSubstr("limits.max_device_hours"));
}

}  // namespace
}  // namespace allometry
