// A sweep with a tokenizer through the real programs: its grid waits for it, reads its tokens, and
// nothing that dies on the way changes a bit.
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/files.h"
#include "data/strata_dataset.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/e2e/sweep_result.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kName[] = "codes";

// 32 x 32 images to 4 x 4 codes of 32; two small world models on two frames of them.
std::string Yaml(const std::string& dataset) {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: \"%s\"\n"
      "model: {frames: 2, shapes: [{layers: 1, heads: 2, width: 16}, {layers: 1, heads: 2, width: "
      "24}]}\n"
      "tokenizer: {family: vqvae, grid: 4, codebook: 32, width: 8, layers: 1, steps: 200, "
      "batch_images: 16, learning_rate: 3e-3}\n"
      "training: {objective: observation, batch_sequences: 8, warmup_steps: 10, learning_rate: "
      "1e-2}\n"
      "budgets: {tokens: [20k, 60k]}\n"
      "evaluation: {windows: 64}\n"
      "checkpoint_every: 100ms\n"
      "max_epochs: 1000\n",
      kName, dataset);
}

// 2400 frames in episodes of eight.
data::Manifest Record(const Deployment& deployment) {
  data::StrataOptions options;
  options.name = "world";
  options.spec = *strata::ParseSpec("strata:view=8,zo=16,library=16,frames=8,pixels=32");
  options.steps = 2400;
  const auto made = data::MakeStrataDataset(options, deployment.Path("data"));
  EXPECT_TRUE(made.ok()) << made.status();
  return made->manifest;
}

bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get(kName)); });
}

// Hashes of the token files under the run root, by name.
std::map<std::string, std::string> TokenFiles(const Deployment& deployment) {
  std::map<std::string, std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(deployment.Path("runs/tokens"))) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().parent_path().filename().string() + "/" + entry.path().filename().string()] =
        HashFileHex(entry.path().string()).value_or("");
  }
  return files;
}

struct Outcome {
  testing::SweepResult result;
  std::map<std::string, std::string> tokens;
};

Outcome RunSweep(const std::function<void(Deployment&)>& disturb) {
  Deployment deployment;
  const data::Manifest world = Record(deployment);
  deployment.Submit(Yaml("world"), ReadFile(deployment.Path("data/world/dataset.json")).value());
  disturb(deployment);
  EXPECT_TRUE(WaitUntil(deployment, testing::HasEnded)) << deployment.Logs();
  EXPECT_THAT(testing::Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  return {testing::ResultOf(deployment, kName, /*with_fit=*/false), TokenFiles(deployment)};
}

TEST(TokenizerTest, KillingItsTrainerAndTheCoordinatorChangesNothing) {
  const Outcome quiet = RunSweep([](Deployment& deployment) {
    const v1::GetSweepResponse sweep = deployment.Get(kName);
    ASSERT_EQ(sweep.runs_size(), 3);
    EXPECT_EQ(sweep.runs(0).stage(), "tokenizer");
    for (const int reader : {1, 2}) {
      EXPECT_EQ(sweep.runs(reader).state(), v1::PENDING);
      EXPECT_THAT(sweep.runs(reader).reason(), HasSubstr("waiting: needs run 1's tokenizer"));
    }
  });
  // One dataset of tokens, shared by both runs: a manifest and two shards.
  EXPECT_EQ(quiet.tokens.size(), 3u);
  // Fits read the world models alone.
  for (const std::string& line : quiet.result.observations) {
    EXPECT_THAT(line, ::testing::Not(HasSubstr(",tokenizer,")));
  }
  const Outcome disturbed = RunSweep([](Deployment& deployment) {
    const auto tokenizer_past = [&](int64_t step) {
      return WaitUntil(deployment, [step](const v1::GetSweepResponse& sweep) {
        return sweep.runs(0).step() >= step;
      });
    };
    ASSERT_TRUE(tokenizer_past(20));
    deployment.KillAndRestartWorker();
    ASSERT_TRUE(tokenizer_past(80));
    deployment.KillAndRestartCoordinator();
    ASSERT_TRUE(WaitUntil(deployment, [](const v1::GetSweepResponse& sweep) {
      return sweep.runs(0).state() == v1::RUN_SUCCEEDED;
    }));
    deployment.KillAndRestartWorker();  // while the tokens are made
  });
  EXPECT_THAT(testing::Differences(quiet.result, disturbed.result), IsEmpty());
  EXPECT_EQ(quiet.tokens, disturbed.tokens);
}

}  // namespace
}  // namespace allometry
