// Checkpoints that the disk did not keep: the run goes back to one that verifies, says so, and its
// curve is the one it would have been.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kSweep[] =
    "name: damage\n"
    "dataset: generated\n"
    "model: {family: gpt, context: 16, sizes: [6k]}\n"
    "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3}\n"
    "budgets: {tokens: [1000000, 2000000]}\n"
    "evaluation: {windows: 64, per_decade: 20}\n"
    "max_epochs: 100000\n"
    "log_every: 20\n"
    "checkpoint_every: 300ms\n";

// Newest first.
std::vector<std::filesystem::path> Checkpoints(const std::string& run_root) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run_root + "/run-1")) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

TEST(DamageTest, CheckpointsThatDoNotVerifyAreGoneBehind) {
  Deployment deployment;
  deployment.Submit(kSweep);
  const std::string run_root = deployment.Path("runs");
  ASSERT_TRUE(Eventually([&] {
    return deployment.Get("damage").runs(0).has_checkpoint() && Checkpoints(run_root).size() >= 2;
  }));
  deployment.KillWorker(0);
  ASSERT_TRUE(Eventually([&] { return deployment.NoTrainerLeft(); }));
  const std::vector<std::filesystem::path> files = Checkpoints(run_root);
  ASSERT_GE(files.size(), 2u);
  // One half written, the other with a changed byte in its middle.
  std::filesystem::resize_file(files[0], std::filesystem::file_size(files[0]) / 2);
  {
    std::fstream file(files[1], std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(files[1]) / 2);
    file.seekg(middle);
    const char byte = static_cast<char>(file.get());
    file.seekp(middle);
    file.put(static_cast<char>(byte ^ 0x10));
  }
  deployment.StartWorker(0);
  ASSERT_TRUE(Eventually([&] { return HasEnded(deployment.Get("damage")); })) << deployment.Logs();
  EXPECT_THAT(Unfinished(deployment.Get("damage")), IsEmpty());

  const std::vector<std::string> exits = deployment.Query(
      "SELECT 'attempt ' || attempt || ' from ' || start_step || ': ' || exit_reason || ' ' || "
      "exit_message FROM attempts ORDER BY attempt");
  EXPECT_THAT(exits, Contains(AllOf(HasSubstr("CHECKPOINT"), HasSubstr("safetensors"))));
  // Neither is chosen a second time.
  EXPECT_THAT(deployment.Query("SELECT count(*) FROM attempts WHERE exit_reason = 'CHECKPOINT' "
                               "GROUP BY start_attempt, start_step HAVING count(*) > 1"),
              IsEmpty());

  Deployment quiet;
  quiet.Submit(kSweep);
  ASSERT_TRUE(Eventually([&] { return HasEnded(quiet.Get("damage")); }));
  EXPECT_THAT(Differences(ResultOf(quiet, "damage", /*with_fit=*/false),
                          ResultOf(deployment, "damage", /*with_fit=*/false)),
              IsEmpty());
}

}  // namespace
}  // namespace allometry::testing
