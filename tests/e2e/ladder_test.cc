// A learning-rate ladder through the real programs: it begins with rates that are all too small,
// is widened, survives its coordinator, and the grid goes on from the runs that it chose.
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/deployment.h"
#include "tests/testing/eventually.h"

namespace allometry {
namespace {

using ::allometry::testing::Deployment;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kSweep[] = R"(
name: ladder
dataset: generated
model: {family: gpt, context: 16, sizes: [5k, 80k]}
training:
  batch_tokens: 512
  warmup_steps: 10
  learning_rate: {ladder: {rates: [5e-4, 1e-3], tune: {steps: 60}, max_widen: 9}}
budgets: {tokens: [61_440, 122_880]}
evaluation: {windows: 64, per_decade: 20}
max_epochs: 1000
log_every: 20
checkpoint_every: 1s
)";

bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get("ladder")); });
}

bool HasEnded(const v1::GetSweepResponse& sweep) {
  return sweep.sweep().stages_size() == 1 && sweep.sweep().stages(0).done() &&
         std::all_of(sweep.runs().begin(), sweep.runs().end(), [](const v1::Run& run) {
           return run.state() != v1::PENDING && run.state() != v1::LEASED;
         });
}

TEST(LadderTest, IsWidenedFromTheEdgeAndTheGridContinuesItsRuns) {
  Deployment deployment;
  EXPECT_THAT(deployment.Submit(kSweep).runs(), SizeIs(2));
  ASSERT_TRUE(WaitUntil(deployment, [](const auto& sweep) { return sweep.runs_size() > 2; }));
  deployment.KillAndRestartCoordinator();
  ASSERT_TRUE(WaitUntil(deployment, HasEnded)) << deployment.Logs();

  const v1::GetSweepResponse sweep = deployment.Get("ladder");
  std::map<std::string, std::map<double, double>> tuned;  // size, rate: loss at the tuning budget
  std::map<std::string, double> chosen;
  for (const v1::Run& run : sweep.runs()) {
    const double rate = run.spec().identity().learning_rate();
    int cells = 0;
    for (const v1::Cell& cell : sweep.cells()) {
      if (cell.run_id() != run.run_id()) continue;
      if (cell.stage() == "ladder" && cell.done()) tuned[run.size()][rate] = cell.loss();
      if (cell.stage().empty()) {
        ++cells;
        EXPECT_TRUE(cell.done());
      }
    }
    if (cells == 0) continue;
    EXPECT_EQ(cells, 2);
    EXPECT_EQ(run.spec().steps(), 240);
    EXPECT_THAT(run.attempt(), Gt(1)) << "the tuning run is continued";
    chosen[run.size()] = rate;
  }
  ASSERT_THAT(chosen, SizeIs(2));
  EXPECT_THAT(chosen["5k"], Gt(1e-3)) << "widened beyond the rates of the file";
  EXPECT_LE(chosen["80k"], chosen["5k"]) << "larger models want smaller rates (TARGETS row 14)";
  for (const auto& [size, losses] : tuned) {
    const auto best = losses.find(chosen[size]);
    ASSERT_NE(best, losses.end());
    // Interior, and the least of all.
    EXPECT_NE(best, losses.begin()) << size;
    EXPECT_NE(std::next(best), losses.end()) << size;
    for (const auto& [rate, loss] : losses) EXPECT_GE(loss, best->second) << size << " " << rate;
  }
  // The same runs as a law of the best rate: one optimum a size, near the rate that was chosen.
  const nlohmann::json law = nlohmann::json::parse(deployment.Allo({"--json", "rates", "ladder"}));
  const nlohmann::json& rates = law["learning_rate"];
  ASSERT_EQ(rates["groups"].size(), 2u) << law;
  EXPECT_TRUE(rates["parameters"].contains("N")) << law;
  for (const nlohmann::json& group : rates["groups"]) {
    const double rate = chosen[group["params"].get<double>() < 2e4 ? "5k" : "80k"];
    EXPECT_GT(group["best"].get<double>(), rate / 2);
    EXPECT_LT(group["best"].get<double>(), rate * 2);
  }
  EXPECT_THAT(deployment.Allo({"compare", "ladder", "ladder", "--method", "frontier"}),
              HasSubstr("A: ladder"));
  EXPECT_THAT(deployment.Submit(kSweep).changes(), IsEmpty());
  if (::testing::Test::HasFailure()) std::cerr << deployment.Logs();
}

}  // namespace
}  // namespace allometry
