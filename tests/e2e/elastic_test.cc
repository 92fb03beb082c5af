// A running run gets other devices: the file says 2 instead of 1, `allo preempt` gives it its next
// attempt now, and the curve stays the same to the stated tolerance (docs/survival.md).
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::allometry::testing::Eventually;
using ::testing::HasSubstr;

std::string SweepYaml(const std::string& name, int devices) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: generated\n"
      "model: {family: gpt, context: 16, sizes: [40k]}\n"
      "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 1e-3}\n"
      "budgets: {tokens: [768000]}\n"
      "devices: %d\n"
      "evaluation: {windows: 64, per_decade: 20}\n"
      "max_epochs: 1000\n"
      "log_every: 20\n"
      "checkpoint_every: 10s\n",
      name, devices);
}

// step -> held-out loss.
std::map<int64_t, double> Heldout(const Deployment& deployment, const std::string& sweep) {
  std::map<int64_t, double> losses;
  const std::vector<std::string> lines = deployment.Export(sweep, "points", "heldout");
  const std::vector<std::string> names = absl::StrSplit(lines.at(0), ',');
  const auto column = [&](const std::string& name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> values = absl::StrSplit(lines[i], ',');
    int64_t step = 0;
    double loss = 0;
    EXPECT_TRUE(absl::SimpleAtoi(values.at(column("step")), &step)) << lines[i];
    EXPECT_TRUE(absl::SimpleAtod(values.at(column("value")), &loss)) << lines[i];
    losses[step] = loss;
  }
  return losses;
}

TEST(ElasticTest, ARunningRunGoesOnWithTwoDevicesAndTheSameCurve) {
  Deployment deployment;
  deployment.Submit(SweepYaml("elastic", 1));
  const auto run = [&](const std::string& sweep) { return deployment.Get(sweep).runs(0); };
  ASSERT_TRUE(Eventually([&] { return run("elastic").step() > 100; })) << deployment.Logs();
  deployment.Submit(SweepYaml("elastic", 2));
  EXPECT_THAT(deployment.Allo({"preempt", "elastic", "--within", "30s"}),
              HasSubstr("preempted: 1 run"));
  // The undisturbed one, on one device, after it.
  ASSERT_TRUE(Eventually([&] { return run("elastic").attempt() == 2; })) << deployment.Logs();
  deployment.Submit(SweepYaml("whole", 1));
  for (const std::string sweep : {"elastic", "whole"}) {
    ASSERT_TRUE(Eventually([&] { return run(sweep).state() == v1::RUN_SUCCEEDED; }))
        << run(sweep).reason() << deployment.Logs();
  }
  EXPECT_EQ(run("elastic").failures(), 0);
  EXPECT_THAT(run("elastic").reason(), HasSubstr("ranks 1 to 2"));
  EXPECT_EQ(run("whole").reason(), "");
  EXPECT_GT(run("whole").memory_bytes(), 1'000'000);

  const std::map<int64_t, double> elastic = Heldout(deployment, "elastic");
  const std::map<int64_t, double> whole = Heldout(deployment, "whole");
  ASSERT_EQ(elastic.size(), whole.size());
  double largest = 0;
  for (const auto& [step, loss] : whole) {
    largest = std::max(largest, std::abs(elastic.at(step) / loss - 1));
  }
  RecordProperty("largest_relative_difference", absl::StrFormat("%g", largest));
  EXPECT_LE(largest, 1e-4);
}

}  // namespace
}  // namespace allometry
