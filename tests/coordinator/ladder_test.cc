// The learning-rate ladder through a coordinator: who decides, when, and from what.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/stage_test.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Starts at the edge: the optimum of 5k is at 0.012, that of 20k at 0.006, 80k's at 0.003.
constexpr char kLadder[] = "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}}}";
double BestRate(const v1::Run& run) { return 0.012 * std::sqrt(5000.0 / run.n_params()); }

TinySweep LadderSweep(const std::string& sizes = "[5k, 20k]") {
  TinySweep sweep;
  sweep.sizes = sizes;
  sweep.rate = kLadder;
  return sweep;
}

using Asked = std::tuple<std::string, double, int64_t>;  // size, rate, steps

class LadderStageTest : public StageTest {
 protected:
  // The losses are lifted by how far the rate is from the best of its size.
  std::vector<v1::Record> RecordsOf(const v1::RunSpec& spec, const v1::Run& run) override {
    std::vector<v1::Record> records = WholeRun(spec, static_cast<double>(run.n_params()));
    const double octaves = std::log2(spec.identity().learning_rate() / BestRate(run));
    for (v1::Record& record : records) {
      if (!record.has_point()) continue;
      record.mutable_point()->set_value(record.point().value() + 2 * octaves * octaves);
    }
    return records;
  }

  std::set<Asked> WhatWasAsked() {
    std::set<Asked> asked;
    const v1::GetSweepResponse sweep = Get();
    for (const v1::Run& run : sweep.runs()) {
      asked.emplace(run.size(), run.spec().identity().learning_rate(), run.spec().steps());
    }
    return asked;
  }
};

TEST_F(LadderStageTest, ClimbsFromTheEdgeAndTheGridFollows) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse created, Submit(LadderSweep()));
  EXPECT_THAT(created.runs(), SizeIs(2));
  ASSERT_THAT(created.sweep().stages(), SizeIs(1));
  EXPECT_THAT(created.sweep().stages(0).rule(), HasSubstr("20 steps"));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  PlayUntilDone(*agent);

  EXPECT_EQ(Stage().result_json(), R"({"5k":0.012,"20k":0.006})");
  const v1::GetSweepResponse sweep = Get();
  // 5k: 0.0015 to 0.024; 20k: 0.003, 0.006 (begun around 0.012: 0.006, 0.012, 0.024), 0.003.
  EXPECT_THAT(sweep.runs(), SizeIs(5 + 4));
  std::map<std::string, int> grid_cells;
  for (const v1::Cell& cell : sweep.cells()) {
    EXPECT_TRUE(cell.done());
    if (cell.stage().empty()) ++grid_cells[cell.size()];
  }
  EXPECT_EQ(grid_cells, (std::map<std::string, int>{{"5k", 4}, {"20k", 4}}));
  for (const v1::Run& run : sweep.runs()) {
    const bool chosen =
        run.spec().identity().learning_rate() == (run.size() == "5k" ? 0.012 : 0.006);
    EXPECT_EQ(run.stage(), chosen ? "" : "ladder") << run.size();
    EXPECT_EQ(run.spec().steps(), chosen ? 200 : 20) << run.size();
    // The grid went on from where the tuning had stopped.
    EXPECT_EQ(run.attempt(), chosen ? 2 : 1) << run.size();
  }
}

TEST_F(LadderStageTest, FitsReadTheGridOnly) {
  ASSERT_OK(Submit(LadderSweep()));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  PlayUntilDone(*agent);
  const std::string csv = Export("observations");
  EXPECT_THAT(csv, HasSubstr(",0.012,"));
  EXPECT_THAT(csv, HasSubstr(",0.0060000000000000001,"));
  EXPECT_THAT(csv, Not(HasSubstr(",0.024,")));
  EXPECT_THAT(csv, Not(HasSubstr(",0.0030000000000000001,")));
}

TEST_F(LadderStageTest, TheOrderOfResultsChangesNothing) {
  std::set<Asked> expected;
  for (const int order : {0, 1, 2, 3}) {
    TinySweep sweep = LadderSweep("[5k, 20k, 80k]");
    sweep.name = "tiny";
    coordinator_ = InProcessCoordinator::Start([this] {
      coordinator::Options options = InProcessCoordinator::DefaultOptions();
      options.lease_ms = kLeaseMs;
      options.clock = &clock_;
      return options;
    }());
    client_ = coordinator_->client();
    ASSERT_OK(Submit(sweep));
    auto agent = NewAgent("a", {"cpu:0", "cpu:1", "cpu:2", "cpu:3", "cpu:4", "cpu:5"});
    ASSERT_OK(agent->Register());
    std::mt19937 random(order);
    ASSERT_TRUE(Eventually([&] {
      std::vector<v1::Hold> holds;
      for (v1::Hold hold = agent->Obtain(2); hold.has_lease(); hold = agent->Obtain(2)) {
        holds.push_back(hold);
      }
      std::shuffle(holds.begin(), holds.end(), random);
      // The last of several is given only when the others have been looked at.
      for (const v1::Hold& hold : holds) Play(*agent, hold);
      return Stage().done() && AllEnded();
    })) << StageText();
    EXPECT_EQ(Stage().result_json(), R"({"5k":0.012,"20k":0.006,"80k":0.003})");
    if (order == 0) expected = WhatWasAsked();
    EXPECT_EQ(WhatWasAsked(), expected) << order;
  }
}

TEST_F(LadderStageTest, ARestartAfterEveryRunChangesNothing) {
  ASSERT_OK(Submit(LadderSweep()));
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
    EXPECT_THAT(Submit(LadderSweep())->changes(), IsEmpty());
    return done;
  }));
  EXPECT_EQ(Stage().result_json(), R"({"5k":0.012,"20k":0.006})");
  EXPECT_THAT(Get().runs(), SizeIs(9));
}

TEST_F(LadderStageTest, AnotherSizeContinuesFromTheStoredResult) {
  ASSERT_OK(Submit(LadderSweep()));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  PlayUntilDone(*agent);
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse grown, Submit(LadderSweep("[5k, 20k, 80k]")));
  EXPECT_FALSE(grown.sweep().stages(0).done());
  EXPECT_THAT(grown.runs(), SizeIs(9 + 3));
  PlayUntilDone(*agent);
  EXPECT_EQ(Stage().result_json(), R"({"5k":0.012,"20k":0.006,"80k":0.003})");
}

TEST_F(LadderStageTest, AnOptimumAtTheEdgeWaitsUntilTheFileAllowsMore) {
  TinySweep sweep = LadderSweep("[5k]");
  sweep.rate = "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}, max_widen: 1}}";
  ASSERT_OK(Submit(sweep));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(Eventually([&] {
    PlayWhatThereIs(*agent);
    return StageText().find("5k: waits") != std::string::npos;
  })) << StageText();
  EXPECT_THAT(StageText(), HasSubstr("the least loss is at 0.006, the highest of its rates"));
  EXPECT_TRUE(AllEnded());
  EXPECT_THAT(Get().runs(), SizeIs(3));
  // It says so to who watches, and ends.
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse message;
  while (reader->Read(&message)) {
  }
  EXPECT_THAT(ToAbsl(reader->Finish()), IsOk());
  EXPECT_FALSE(message.sweep().stages(0).done());

  sweep.rate = "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}, max_widen: 4}}";
  ASSERT_OK(Submit(sweep));
  PlayUntilDone(*agent);
  EXPECT_EQ(Stage().result_json(), R"({"5k":0.012})");
}

TEST_F(LadderStageTest, AcceptingTheEdgeTakesIt) {
  TinySweep sweep = LadderSweep("[5k]");
  sweep.rate = "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}, max_widen: 0}}";
  ASSERT_OK(Submit(sweep));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  ASSERT_TRUE(Eventually([&] {
    PlayWhatThereIs(*agent);
    return StageText().find("5k: waits") != std::string::npos;
  }));
  sweep.rate =
      "{ladder: {rates: [1.5e-3, 3e-3], tune: {steps: 20}, max_widen: 0, accept_edge: true}}";
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse accepted, Submit(sweep));
  EXPECT_TRUE(accepted.sweep().stages(0).done());
  PlayUntilDone(*agent);
  EXPECT_EQ(Stage().result_json(), R"({"5k":0.003})");
  EXPECT_THAT(Get().runs(), SizeIs(2));
}

TEST_F(LadderStageTest, ADivergedRateIsAResultAndAFailedRunIsNot) {
  TinySweep sweep = LadderSweep("[5k]");
  sweep.rate = "{ladder: {rates: [6e-3, 0.012, 0.024], tune: {steps: 20}}}";
  ASSERT_OK(Submit(sweep));
  auto agent = NewAgent("a");
  ASSERT_OK(agent->Register());
  bool failed_once = false;
  int64_t failed_run = 0;
  const auto play = [&] {
    for (v1::Hold hold = agent->Obtain(2); hold.has_lease(); hold = agent->Obtain(2)) {
      const double rate = hold.spec().identity().learning_rate();
      if (rate == 0.024) {
        EXPECT_THAT(agent->Send(hold.lease(), {ExitWith(1, v1::DIVERGED, 5)}), IsOk());
        agent->MarkEnded(hold.lease(), 1);
      } else if (rate == 6e-3 && !failed_once) {
        failed_once = true;
        failed_run = hold.lease().run_id();
        EXPECT_THAT(agent->Send(hold.lease(), {ExitWith(1, v1::LIMIT, 5, "no more hours")}),
                    IsOk());
        agent->MarkEnded(hold.lease(), 1);
      } else {
        Play(*agent, hold);
      }
    }
  };
  ASSERT_TRUE(Eventually([&] {
    play();
    return GetRun(1).state() == v1::RUN_FAILED &&
           StageText().find("5k: waits") != std::string::npos;
  })) << StageText();
  EXPECT_THAT(StageText(), HasSubstr("failed with LIMIT"));
  v1::RetrySweepRequest retry;
  retry.set_name("tiny");
  retry.add_run_ids(failed_run);
  ASSERT_OK(Call(&v1::ClientService::Stub::RetrySweep, retry));
  ASSERT_TRUE(Eventually([&] {
    play();
    return Stage().done() && AllEnded();
  })) << StageText();
  EXPECT_EQ(Stage().result_json(), R"({"5k":0.012})");
  EXPECT_THAT(StageText(), HasSubstr("0.024: diverged"));
}

TEST_F(LadderStageTest, WatchersStayBetweenTheStages) {
  ASSERT_OK(Submit(LadderSweep("[5k]")));
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse message;
  std::thread playing([&] {
    auto agent = NewAgent("a");
    EXPECT_THAT(agent->Register(), IsOk());
    PlayUntilDone(*agent);
  });
  while (reader->Read(&message)) {
  }
  playing.join();
  EXPECT_THAT(ToAbsl(reader->Finish()), IsOk());
  EXPECT_TRUE(message.sweep().stages(0).done());
  EXPECT_EQ(message.sweep().cells_done(), message.sweep().cells());
}

TEST_F(LadderStageTest, DryRunSaysWhatTheLadderCosts) {
  v1::CreateSweepRequest request = Request(LadderSweep());
  request.set_dry_run(true);
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse dry,
                       Call(&v1::ClientService::Stub::CreateSweep, request));
  ASSERT_THAT(dry.sweep().stages(), SizeIs(1));
  EXPECT_THAT(dry.sweep().stages(0).lines(),
              Contains(AllOf(HasSubstr("at least 5 runs"), HasSubstr("at most 17"))));
}

}  // namespace
}  // namespace allometry::testing
