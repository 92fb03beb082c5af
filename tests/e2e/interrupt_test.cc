// `allo plan` while it measures, ended in every way: nothing of what it started is left.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "base/files.h"
#include "data/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/launch/processes.h"

namespace allometry::testing {
namespace {

using ::testing::IsEmpty;

constexpr char kSweep[] =
    "name: planned\n"
    "dataset: generated\n"
    "model: {family: gpt, context: 16, sizes: [20k]}\n"
    "training: {batch_tokens: 512, warmup_steps: 20, learning_rate: 5e-3}\n"
    "budgets: {tokens: [51200]}\n"
    "evaluation: {windows: 64}\n"
    "max_epochs: 1000\n"
    "devices: 2\n";

class InterruptTest : public ::testing::TestWithParam<int> {
 protected:
  InterruptTest() {
    data::TextOptions text;
    text.name = "generated";
    text.inputs = {folder_.Path("text.txt")};
    EXPECT_TRUE(WriteFileAtomically(text.inputs[0], GeneratedText(200'000)).ok());
    EXPECT_THAT(data::MakeTextDataset(text, folder_.Path("data")).status(), IsOk());
    EXPECT_TRUE(WriteFileAtomically(folder_.Path("planned.yaml"), kSweep).ok());
    EXPECT_TRUE(MakeDirectories(folder_.Path("tmp")).ok());
    // What it starts inherits this, and so is found.
    setenv("XDG_CACHE_HOME", folder_.Path("cache").c_str(), 1);
    setenv("TMPDIR", folder_.Path("tmp").c_str(), 1);
    plan_.Start(
        {ALLO_BIN_DIR "/allo", "plan", folder_.Path("planned.yaml"), "--data-dir",
         folder_.Path("data"), "--slots", "cpu:2", "--measure-again", "--measure-time", "2m"},
        folder_.Path("output"));
    unsetenv("XDG_CACHE_HOME");
    unsetenv("TMPDIR");
  }
  size_t Processes() const {
    return launch::ProcessesWithEnvironment("XDG_CACHE_HOME=" + folder_.Path("cache")).size();
  }

  const TemporaryFolder folder_;
  ChildProcess plan_;
};

TEST_P(InterruptTest, LeavesNothing) {
  // The plan, mpirun and two ranks.
  ASSERT_TRUE(Eventually([&] { return Processes() >= 4; }))
      << ReadFile(folder_.Path("output")).value_or("");
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  plan_.Signal(GetParam());
  EXPECT_EQ(plan_.Wait(), 128 + GetParam());
  EXPECT_TRUE(Eventually([&] { return Processes() == 0; })) << Processes() << " are left";
  if (GetParam() == SIGKILL) return;  // its folder is left to the next one (cli/scratch_folder.h)
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.Path("tmp"))) {
    if (entry.path().filename().string().rfind("allo-plan", 0) == 0) left.push_back(entry.path());
  }
  EXPECT_THAT(left, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptTest,
                         ::testing::Values(SIGINT, SIGTERM, SIGHUP, SIGKILL));

}  // namespace
}  // namespace allometry::testing
