// A sweep of a union through the real programs: it waits for a worker with all of its members, and
// nothing that dies on the way changes a bit.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"
#include "tests/testing/frame_dataset.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kName[] = "joint";
constexpr char kDataset[] = "union:left,right";

std::string Yaml() {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: \"%s\"\n"
      "model: {frames: 4, shapes: [{layers: 1, heads: 2, width: 16}]}\n"
      "training: {objective: observation, batch_sequences: 8, warmup_steps: 10, learning_rate: "
      "1e-2}\n"
      "budgets: {tokens: [400k]}\n"
      "evaluation: {windows: 20}\n"
      "checkpoint_every: 100ms\n"
      "max_epochs: 10000\n",
      kName, kDataset);
}

bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get(kName)); });
}

testing::SweepResult RunSweep(const std::function<void(Deployment&)>& disturb) {
  // The first worker has one member, the second shall have both.
  testing::DeploymentOptions options;
  options.workers = 2;
  options.slots = "cpu:1";
  const testing::TemporaryFolder first, second;
  options.data_dirs = {first.path(), second.path()};
  EXPECT_TRUE(testing::WriteFrameDataset(first.path(), "left", 12, 20, 0, 3).ok());
  for (const auto& [name, seed] : {std::pair("left", 3), {"right", 5}}) {
    EXPECT_TRUE(testing::WriteFrameDataset(second.Path("made"), name, 12, 20, 0, seed).ok());
  }
  Deployment deployment(options);
  const auto manifest = data::FindManifest(second.Path("made"), kDataset);
  EXPECT_TRUE(manifest.ok()) << manifest.status();
  deployment.Submit(Yaml(), data::ManifestJson(*manifest));
  EXPECT_TRUE(WaitUntil(deployment, [](const v1::GetSweepResponse& sweep) {
    return sweep.runs(0).reason().find("no worker has all members of union:left,right") !=
           std::string::npos;
  })) << deployment.Get(kName).runs(0).reason();
  std::filesystem::rename(second.Path("made/left"), second.Path("left"));
  std::filesystem::rename(second.Path("made/right"), second.Path("right"));
  disturb(deployment);
  EXPECT_TRUE(WaitUntil(deployment, testing::HasEnded)) << deployment.Logs();
  EXPECT_THAT(testing::Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  for (const char* series : {"heldout_left", "heldout_right"}) {
    EXPECT_GT(deployment.Export(kName, "points", series).size(), 5u) << series;
  }
  return testing::ResultOf(deployment, kName, /*with_fit=*/false);
}

TEST(UnionTest, ItRunsWhereAllMembersAreAndKillingItChangesNothing) {
  const testing::SweepResult quiet = RunSweep([](Deployment&) {});
  const testing::SweepResult disturbed = RunSweep([](Deployment& deployment) {
    ASSERT_TRUE(WaitUntil(
        deployment, [](const v1::GetSweepResponse& sweep) { return sweep.runs(0).step() >= 200; }));
    deployment.KillAndRestartWorker(1);
    deployment.KillAndRestartCoordinator();
  });
  EXPECT_THAT(testing::Differences(quiet, disturbed), IsEmpty());
}

}  // namespace
}  // namespace allometry
