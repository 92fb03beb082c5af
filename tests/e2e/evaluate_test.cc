// A sweep whose checkpoints are evaluated, through the real programs: nothing that dies on the way
// changes a bit.
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/generated.h"
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

constexpr char kName[] = "judged";
constexpr char kWorld[] = "strata:universe=7,library=4,view=8,zo=16,frames=8";

std::string Yaml() {
  return absl::StrFormat(
      "name: %s\n"
      "dataset: \"%s\"\n"
      "model: {frames: 4, shapes: [{layers: 1, heads: 1, width: 8, label: small}, {layers: 1, "
      "heads: 2, width: 16, label: large}]}\n"
      "training: {objective: observation, batch_sequences: 8, warmup_steps: 5, learning_rate: "
      "1e-2}\n"
      "budgets: {tokens: [20k, 40k]}\n"
      "evaluation: {windows: 32, keep: 4}\n"
      "evaluate: {videos: 768}\n",
      kName, kWorld);
}

bool WaitUntil(const Deployment& deployment,
               const std::function<bool(const v1::GetSweepResponse&)>& condition) {
  return testing::Eventually([&] { return condition(deployment.Get(kName)); });
}

// Every point of the evaluating runs: size, series, step and value to the last bit.
std::vector<std::string> Measures(const Deployment& deployment) {
  return deployment.Query(
      "SELECT r.size || ' ' || s.name || ' ' || p.step || ' ' || printf('%.17g', p.value) "
      "FROM points AS p JOIN series AS s USING (series_id) JOIN runs AS r USING (run_id) "
      "WHERE r.stage = 'evaluate' ORDER BY 1");
}

// Runs that have evaluated one to three of their four checkpoints.
std::vector<std::string> HalfEvaluated(const Deployment& deployment) {
  return deployment.Query(
      "SELECT run_id FROM points JOIN series AS s USING (series_id) JOIN runs USING (run_id) "
      "WHERE stage = 'evaluate' AND s.name = 'heldout' GROUP BY run_id HAVING count(*) < 4");
}

std::vector<std::string> RunSweep(const std::function<void(Deployment&)>& disturb) {
  Deployment deployment;
  deployment.Submit(Yaml(), data::ManifestJson(*data::GeneratedManifest(kWorld)));
  disturb(deployment);
  EXPECT_TRUE(WaitUntil(deployment, testing::HasEnded)) << deployment.Logs();
  EXPECT_THAT(testing::Unfinished(deployment.Get(kName)), IsEmpty()) << deployment.Logs();
  // The checkpoints stay for whoever evaluates them next.
  EXPECT_EQ(deployment.Query("SELECT count(*) FROM checkpoints WHERE state = 'GOOD' AND step IN "
                             "(SELECT points.step FROM points JOIN runs USING (run_id) "
                             "WHERE stage = 'evaluate')"),
            std::vector<std::string>{"8"});
  return Measures(deployment);
}

TEST(EvaluateTest, KillingItsWorkerAndTheCoordinatorChangesNothing) {
  const std::vector<std::string> quiet = RunSweep([](Deployment& deployment) {
    const v1::GetSweepResponse sweep = deployment.Get(kName);
    ASSERT_EQ(sweep.runs_size(), 4);
    for (const int evaluates : {2, 3}) {
      EXPECT_EQ(sweep.runs(evaluates).stage(), "evaluate");
      EXPECT_EQ(sweep.runs(evaluates).state(), v1::PENDING);
      EXPECT_THAT(sweep.runs(evaluates).reason(), HasSubstr("'s checkpoints"));
    }
  });
  // Two sizes, four checkpoints each, seven series or more.
  EXPECT_GE(quiet.size(), 2u * 4u * 7u);
  const std::vector<std::string> disturbed = RunSweep([](Deployment& deployment) {
    // In the middle of an evaluation: a checkpoint is done, and not all are.
    int64_t killed = 0;
    ASSERT_TRUE(WaitUntil(deployment, [&](const v1::GetSweepResponse& sweep) {
      for (const std::string& run_id : HalfEvaluated(deployment)) {
        for (const v1::Run& run : sweep.runs()) {
          if (absl::StrCat(run.run_id()) != run_id || run.state() != v1::LEASED) continue;
          killed = run.run_id();
        }
      }
      return killed != 0 || testing::HasEnded(sweep);
    }));
    ASSERT_NE(killed, 0) << "no evaluation was caught in the middle";
    deployment.KillAndRestartWorker();  // and with it its trainers
    ASSERT_TRUE(WaitUntil(deployment, [&](const v1::GetSweepResponse& sweep) {
      for (const v1::Run& run : sweep.runs()) {
        if (run.run_id() == killed) return run.attempt() > 1;
      }
      return false;
    }));
    deployment.KillAndRestartCoordinator();
  });
  EXPECT_EQ(quiet, disturbed);
}

}  // namespace
}  // namespace allometry
