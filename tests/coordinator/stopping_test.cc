// Frontier-aware stopping through a coordinator: what is granted when, and that no order of results
// changes it.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/stage_test.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The best size is 40k at the first two budgets, then 80k.
TinySweep StoppingSweep(const std::string& stopping = "{frontier: true}") {
  TinySweep sweep;
  sweep.sizes = "[5k, 10k, 20k, 40k, 80k]";
  sweep.more =
      "max_epochs: 1000\n" + (stopping.empty() ? "" : absl::StrCat("stopping: ", stopping, "\n"));
  return sweep;
}
v1::CreateSweepRequest FlopsRequest(const TinySweep& sweep) {
  v1::CreateSweepRequest request = Request(sweep);
  std::string* yaml = request.mutable_sweep_yaml();
  const std::string tokens = absl::StrCat("{tokens: ", sweep.budgets, "}");
  yaml->replace(yaml->find(tokens), tokens.size(), "{flops: [3e9, 6e9, 1.2e10, 2.4e10]}");
  return request;
}

double LossAt(double params, double tokens) {
  return 1.5 + 3000 / std::pow(params, 0.8) + 100 / std::sqrt(tokens);
}

class StoppingTest : public StageTest {
 protected:
  absl::StatusOr<v1::CreateSweepResponse> SubmitFlops(const TinySweep& sweep) {
    return Call(&v1::ClientService::Stub::CreateSweep, FlopsRequest(sweep));
  }
  std::vector<v1::Record> RecordsOf(const v1::RunSpec& spec, const v1::Run& run) override {
    std::vector<v1::Record> records = WholeRun(spec, 1);
    for (v1::Record& record : records) {
      if (!record.has_point()) continue;
      record.mutable_point()->set_value(LossAt(static_cast<double>(run.n_params()),
                                               static_cast<double>(record.point().tokens())));
    }
    return records;
  }
  // Cells of each size.
  std::map<std::string, int> Cells() {
    std::map<std::string, int> cells;
    const v1::GetSweepResponse sweep = Get();
    for (const v1::Cell& cell : sweep.cells()) ++cells[cell.size()];
    return cells;
  }
  void Restart() {
    coordinator::Options options = InProcessCoordinator::DefaultOptions();
    options.lease_ms = kLeaseMs;
    options.clock = &clock_;
    coordinator_ = InProcessCoordinator::Start(options);
    client_ = coordinator_->client();
  }
};

using Granted = std::map<std::string, int>;

TEST_F(StoppingTest, SmallSizesStopAndTheRestIsTrained) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse created, SubmitFlops(StoppingSweep()));
  EXPECT_EQ(Cells(), (Granted{{"5k", 2}, {"10k", 2}, {"20k", 4}, {"40k", 4}, {"80k", 4}}));
  EXPECT_FALSE(created.sweep().stages(0).done());
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  PlayUntilDone(*agent);
  const Granted cells = Cells();
  EXPECT_EQ(cells.at("5k"), 2) << StageText();
  EXPECT_EQ(cells.at("80k"), 4);
  EXPECT_THAT(StageText(), AllOf(HasSubstr("5k: stopped early after 6.00e9 FLOPs: its loss is "),
                                 HasSubstr("not trained: ")));
  const v1::GetSweepResponse sweep = Get();
  for (const v1::Run& run : sweep.runs()) EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED);
  for (const v1::Cell& cell : sweep.cells()) EXPECT_TRUE(cell.done());
  // What it trained is read by fits, and they say what is not there.
  v1::FitRequest fit;
  fit.set_sweep("tiny");
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse fitted, Call(&v1::ClientService::Stub::Fit, fit));
  EXPECT_THAT(fitted.report_json(),
              HasSubstr("sizes that were stopped early have no points beyond: 5k 6.00e9 FLOPs"));
  EXPECT_THAT(Export("observations"), HasSubstr("5k"));

  // The same file again changes nothing, also after a restart.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse same, SubmitFlops(StoppingSweep()));
  EXPECT_THAT(same.changes(), IsEmpty());
  coordinator_->Restart();
  EXPECT_TRUE(Stage().done());
  EXPECT_EQ(Cells(), cells);
  // Another margin takes nothing back.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse other,
                       SubmitFlops(StoppingSweep("{frontier: true, margin: 0.9}")));
  EXPECT_THAT(other.changes(), Contains("changes the rule of early stopping"));
  EXPECT_EQ(Cells(), cells);
  // Without it the whole grid is trained, from where each size had stopped.
  ASSERT_OK(SubmitFlops(StoppingSweep("")));
  EXPECT_EQ(Cells(), (Granted{{"5k", 4}, {"10k", 4}, {"20k", 4}, {"40k", 4}, {"80k", 4}}));
}

TEST_F(StoppingTest, TheOrderOfResultsChangesNothing) {
  std::set<Granted> outcomes;
  for (const uint64_t order : {1, 2, 3, 4, 5}) {
    Restart();
    ASSERT_OK(SubmitFlops(StoppingSweep()));
    auto agent = NewAgent("a", {"cpu:0", "cpu:1", "cpu:2", "cpu:3", "cpu:4"});
    ASSERT_OK(agent->Register());
    std::mt19937_64 random(order);
    std::vector<v1::Hold> held;
    ASSERT_TRUE(Eventually([&] {
      for (v1::Hold hold = agent->Obtain(2); hold.has_lease(); hold = agent->Obtain(2)) {
        held.push_back(hold);
      }
      if (!held.empty()) {
        const size_t place = random() % held.size();
        Play(*agent, held[place]);
        held.erase(held.begin() + static_cast<int64_t>(place));
        return false;
      }
      return Stage().done() && AllEnded();
    })) << StageText();
    outcomes.insert(Cells());
  }
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_EQ(outcomes.begin()->at("5k"), 2);
}

TEST_F(StoppingTest, ARestartAfterEveryRunChangesNothing) {
  ASSERT_OK(SubmitFlops(StoppingSweep()));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(Eventually([&] {
    const v1::Hold hold = agent->Obtain(5);
    if (hold.has_lease()) Play(*agent, hold);
    const bool done = Stage().done() && AllEnded();
    coordinator_->Restart();
    agent = NewAgent("a");
    EXPECT_THAT(agent->Register(), IsOk());
    // Before any heartbeat: what is decided at start is there.
    EXPECT_THAT(SubmitFlops(StoppingSweep())->changes(), IsEmpty());
    return done;
  })) << StageText();
  EXPECT_EQ(Cells(), (Granted{{"5k", 2}, {"10k", 4}, {"20k", 4}, {"40k", 4}, {"80k", 4}}));
  EXPECT_THAT(StageText(), HasSubstr("5k: stopped early after 6.00e9 FLOPs"));
}

TEST_F(StoppingTest, AFailedRunBlocksUntilItIsRetried) {
  ASSERT_OK(SubmitFlops(StoppingSweep()));
  v1::CancelSweepRequest cancel;
  cancel.set_name("tiny");
  cancel.add_run_ids(2);
  ASSERT_OK(Call(&v1::ClientService::Stub::CancelSweep, cancel));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(Eventually([&] {
    for (v1::Hold hold = agent->Obtain(2); hold.has_lease(); hold = agent->Obtain(2)) {
      Play(*agent, hold);
    }
    return StageText().find("wait: 10k has no loss at 3.00e9 FLOPs: run 2 was cancelled") !=
           std::string::npos;
  })) << StageText();
  EXPECT_FALSE(Stage().done());
  v1::RetrySweepRequest retry;
  retry.set_name("tiny");
  ASSERT_OK(Call(&v1::ClientService::Stub::RetrySweep, retry));
  PlayUntilDone(*agent);
  EXPECT_EQ(Cells().at("5k"), 2);
}

TEST_F(StoppingTest, FilesThatItDoesNotGoWithAreRefused) {
  TinySweep tokens = StoppingSweep();
  EXPECT_THAT(Submit(tokens), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("it needs budgets.flops, not budgets in tokens")));
  TinySweep ladder = StoppingSweep();
  ladder.rate = "{ladder: {rates: [1e-3, 2e-3], tune: {steps: 20}}}";
  EXPECT_THAT(SubmitFlops(ladder),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("stopping.frontier does not go with a learning-rate ladder")));
  EXPECT_THAT(SubmitFlops(StoppingSweep("{margin: 0.1}")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("frontier")));
  EXPECT_THAT(SubmitFlops(StoppingSweep("{frontier: true, margin: 2}")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("margin 2")));
}

}  // namespace
}  // namespace allometry::testing
