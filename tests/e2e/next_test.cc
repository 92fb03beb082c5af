// `allo next` with the real programs: proposals for a sweep that was trained, accepted, trained,
// and a file that is submitted again.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kCorpus[] = "/usr/share/dictd/gcide.dict.dz";

// English has a floor that so little training sees; generated text, which is easier, would need
// more.
constexpr char kSweep[] = R"(
name: next
dataset: gcide-chars
model: {context: 32, sizes: [2k, 4k, 8k, 16k, 32k, 64k]}
training: {batch_tokens: 512, warmup_steps: 10, learning_rate: {2k: 1.4e-2, 8k: 8e-3, 64k: 3e-3}}
budgets: {flops: [1e9, 3e9, 1e10]}
)";

bool WaitUntilDone(const Deployment& deployment) {
  return testing::Eventually([&] {
    const v1::GetSweepResponse sweep = deployment.Get("next");
    return std::none_of(sweep.runs().begin(), sweep.runs().end(), [](const v1::Run& run) {
      return run.state() == v1::PENDING || run.state() == v1::LEASED;
    });
  });
}

TEST(NextTest, AcceptedProposalsAreTrainedAndTheFileGoesOn) {
  ASSERT_TRUE(std::filesystem::exists(kCorpus))
      << kCorpus << " is missing: make setup installs dict-gcide";
  testing::DeploymentOptions options;
  options.text.name = "gcide-chars";
  options.text.inputs = {kCorpus};
  options.text.max_bytes = 24'000'000;
  const Deployment deployment(options);
  const int cells = deployment.Submit(kSweep).cells_size();
  ASSERT_TRUE(WaitUntilDone(deployment)) << deployment.Logs();
  std::map<int64_t, int64_t> steps;
  const v1::GetSweepResponse before = deployment.Get("next");
  for (const v1::Run& run : before.runs()) steps[run.run_id()] = run.step();

  const auto proposed = nlohmann::json::parse(
      deployment.Allo({"next", "next", "--target", "loss", "--accept", "8", "--json"}));
  ASSERT_EQ(proposed["changes"].size(), 8u) << proposed.dump(1);
  ASSERT_TRUE(WaitUntilDone(deployment)) << deployment.Logs();
  const v1::GetSweepResponse after = deployment.Get("next");
  EXPECT_EQ(after.cells_size(), cells + 8);
  double trained = 0, named = 0;
  for (size_t i = 0; i < 8; ++i) named += proposed["cells"][i]["flops"].get<double>();
  for (const v1::Run& run : after.runs()) {
    EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED) << run.size();
    trained +=
        static_cast<double>((run.step() - steps[run.run_id()]) * 512) * run.flops_per_token_6n();
  }
  EXPECT_NEAR(trained, named, 1e-9 * named);
  for (const v1::Cell& cell : after.cells()) EXPECT_TRUE(cell.done());
  EXPECT_THAT(deployment.Query("SELECT kind FROM expansions ORDER BY expansion_id"),
              ElementsAre("file", "proposal"));

  const v1::CreateSweepResponse again = deployment.Submit(kSweep);
  EXPECT_EQ(again.cells_size(), after.cells_size());
  EXPECT_THAT(again.changes(),
              Each(AllOf(HasSubstr("removes nothing"), HasSubstr("not in the file"))));
}

}  // namespace
}  // namespace allometry
