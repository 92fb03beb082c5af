// `allo next` through a coordinator: what it refuses, what accepted cells train, and that the
// sweep's file says nothing against them afterwards.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TinySweep FiveSizes() { return {.sizes = "[5k, 10k, 20k, 40k, 80k]"}; }
TinySweep SixSizes() { return {.sizes = "[5k, 10k, 20k, 40k, 80k, 160k]"}; }

// The law's losses, every size with a shift and every point with an error of its own, the same
// whenever they are asked for; a checkpoint at the end.
std::vector<v1::Record> NoisyRun(const v1::Hold& hold, double params) {
  const int64_t first = hold.spec().start().step();
  std::vector<v1::Record> records;
  for (v1::Record record : WholeRun(hold.spec(), params)) {
    if (record.has_exit()) {
      records.push_back(CheckpointAt(records.size() + 1, hold.lease().attempt(),
                                     hold.spec().steps(), "root-of-a"));
    } else if (record.point().step() <= first) {
      continue;
    } else {
      const double step = static_cast<double>(record.point().step());
      const double error = 0.004 * std::sin(params) + 0.004 * std::sin(params + 7.3 * step);
      record.mutable_point()->set_value(record.point().value() * std::exp(error));
    }
    record.set_sequence(records.size() + 1);
    records.push_back(std::move(record));
  }
  return records;
}

class ProposalsTest : public CoordinatorTest {
 protected:
  void SetUp() override {
    agent_ = NewAgent("a");
    ASSERT_OK(agent_->Register());
  }

  // By run: the step that each of its attempts started from.
  std::map<int64_t, std::vector<int64_t>> PlayToTheEnd() {
    std::map<int64_t, std::vector<int64_t>> starts;
    for (v1::Hold hold = agent_->Obtain(); hold.has_lease(); hold = agent_->Obtain(5)) {
      starts[hold.lease().run_id()].push_back(hold.spec().start().step());
      const v1::Run run = AnyRun(hold.lease().run_id());
      const auto records = NoisyRun(hold, static_cast<double>(run.n_params()));
      EXPECT_THAT(agent_->Send(hold.lease(), records), IsOk());
      agent_->MarkEnded(hold.lease(), records.size());
    }
    EXPECT_THAT(agent_->Reconcile(), IsOk());
    return starts;
  }

  absl::StatusOr<v1::ProposeCellsResponse> Propose(const v1::ProposeCellsRequest& request) {
    return Call(&v1::ClientService::Stub::ProposeCells, request);
  }
  static v1::ProposeCellsRequest Asking(const std::string& target = "", int accept = 0) {
    v1::ProposeCellsRequest request;
    request.set_sweep("tiny");
    request.set_target(target);
    request.set_accept(accept);
    return request;
  }

  std::unique_ptr<FakeAgent> agent_;
};

std::set<int64_t> CellIds(const v1::GetSweepResponse& sweep) {
  std::set<int64_t> ids;
  for (const v1::Cell& cell : sweep.cells()) ids.insert(cell.cell_id());
  return ids;
}

TEST_F(ProposalsTest, WrongRequestsSayWhatIsAllowed) {
  EXPECT_THAT(Propose(Asking()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tiny")));
  ASSERT_OK(Submit(FiveSizes()));
  EXPECT_THAT(Propose(Asking("gamma")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("target 'gamma' is not known: allowed are a, alpha")));
  v1::ProposeCellsRequest request = Asking("beta");
  request.set_target_flops(1e12);
  EXPECT_THAT(Propose(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("goes with the target loss")));
  EXPECT_THAT(Propose(Asking("a", 101)), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  HasSubstr("accept is 101: allowed are 0 to")));
  EXPECT_THAT(Propose(Asking()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("5 of its 5 runs are open: run 1 (5k), run 2 (10k)")));
}

TEST_F(ProposalsTest, TooFewSizesHaveTheFitsOwnReason) {
  ASSERT_OK(Submit({.sizes = "[5k, 20k]"}));
  PlayToTheEnd();
  EXPECT_THAT(Propose(Asking()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("nothing"), HasSubstr("'tiny'"),
                             HasSubstr("2 sizes, and an interval needs at least 5"))));
}

TEST_F(ProposalsTest, ProposalsAreRankedAndChangeNothing) {
  ASSERT_OK(Submit(FiveSizes()));
  PlayToTheEnd();
  for (const char* target : {"", "alpha", "beta", "E", "loss"}) {
    ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse response, Propose(Asking(target)));
    ASSERT_GT(response.cells_size(), 0) << target;
    EXPECT_THAT(response.changes(), IsEmpty());
    double width = response.cells(0).width_now();
    for (const v1::ProposedCell& cell : response.cells()) {
      EXPECT_EQ(cell.width_now(), width);
      EXPECT_LT(cell.width_then(), cell.width_now());
      EXPECT_GT(cell.flops(), 0);
      width = cell.width_then();
    }
    ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse again, Propose(Asking(target)));
    EXPECT_EQ(again.SerializeAsString(), response.SerializeAsString());
  }
  EXPECT_THAT(Get().runs(), SizeIs(5));
}

TEST_F(ProposalsTest, NothingIsProposedBeyondTheTokensPerParameterThatWereSeen) {
  ASSERT_OK(Submit(FiveSizes()));
  PlayToTheEnd();
  const auto ratio = [](double tokens, double params) { return tokens / params; };
  double least = 1e9;
  const v1::GetSweepResponse sweep = Get();
  for (const v1::Cell& cell : sweep.cells()) {
    least = std::min(least,
                     ratio(static_cast<double>(cell.tokens()), static_cast<double>(cell.params())));
  }
  bool larger = false;
  for (const char* target : {"a", "alpha", "beta", "E", "loss"}) {
    v1::ProposeCellsRequest request = Asking(target);
    request.set_count(100);
    ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse response, Propose(request));
    for (const v1::ProposedCell& cell : response.cells()) {
      EXPECT_GE(ratio(cell.tokens(), cell.params()), least) << cell.note();
      larger |= cell.params() > 1.5 * 80e3;
    }
  }
  EXPECT_TRUE(larger) << "no size above the sweep's is proposed: the test is too weak";
}

TEST_F(ProposalsTest, AcceptedCellsTrainOnlyWhatIsNewAndTheFileSaysNothingAgainstThem) {
  ASSERT_OK(Submit(FiveSizes()));
  PlayToTheEnd();
  const v1::GetSweepResponse before = Get();
  constexpr int kAccepted = 8;
  ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse response, Propose(Asking("loss", kAccepted)));
  ASSERT_THAT(response.changes(), SizeIs(kAccepted));
  const v1::GetSweepResponse accepted = Get();
  EXPECT_EQ(accepted.cells_size(), before.cells_size() + kAccepted);
  // Nothing more is proposed before these are trained.
  EXPECT_THAT(Propose(Asking()), StatusIs(absl::StatusCode::kFailedPrecondition));

  // The FLOPs that were named are those that are trained.
  double named = 0, trained = 0;
  for (int i = 0; i < kAccepted; ++i) named += response.cells(i).flops();
  const auto starts = PlayToTheEnd();
  const v1::GetSweepResponse after = Get();
  int continued = 0;
  for (const v1::Run& run : after.runs()) {
    EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED);
    const auto played = starts.find(run.run_id());
    if (played == starts.end()) continue;
    EXPECT_THAT(played->second, SizeIs(1));
    const int64_t from = played->second[0];
    if (run.run_id() <= 5) {
      ++continued;
      EXPECT_EQ(from, 200) << "the run goes on from its last checkpoint";
    }
    trained +=
        static_cast<double>((run.spec().steps() - from) * kBatchTokens) * run.flops_per_token_6n();
  }
  EXPECT_THAT(continued, Gt(0)) << "none of the proposals continues a run: the test is too weak";
  EXPECT_THAT(after.runs_size(), Gt(5)) << "none is a new size: the test is too weak";
  EXPECT_NEAR(trained, named, 1e-6 * named);
  for (const v1::Cell& cell : after.cells()) EXPECT_TRUE(cell.done());

  // The same file again: nothing is lost, nothing is added.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse same, Submit(FiveSizes()));
  EXPECT_EQ(same.runs_size(), after.runs_size());
  EXPECT_EQ(CellIds(Get()), CellIds(after));
  for (const std::string& change : same.changes()) {
    EXPECT_THAT(change, AllOf(HasSubstr("removes nothing"), HasSubstr("not in the file")));
  }
  // A file that names an accepted size finds its run.
  const auto added = std::find_if(after.runs().begin(), after.runs().end(),
                                  [](const v1::Run& run) { return run.run_id() > 5; });
  TinySweep named_size = FiveSizes();
  named_size.sizes = absl::StrCat("[5k, 10k, 20k, 40k, 80k, ", added->size(), "]");
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse grown, Submit(named_size));
  EXPECT_EQ(grown.runs_size(), after.runs_size());
  // Four budgets more; one may end at the step of the accepted cell.
  EXPECT_GE(grown.cells_size(), after.cells_size() + 3);
  PlayToTheEnd();
  // And the next proposal builds on all of it.
  ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse next, Propose(Asking("loss")));
  EXPECT_LT(next.cells(0).width_now(), response.cells(0).width_now());
}

TEST_F(ProposalsTest, WhatWasCancelledIsNotContinued) {
  ASSERT_OK(Submit(SixSizes()));
  PlayToTheEnd();
  v1::ProposeCellsRequest all = Asking("loss");
  all.set_count(100);
  const auto continued = [](const v1::ProposeCellsResponse& response) {
    std::set<int64_t> runs;
    for (const v1::ProposedCell& cell : response.cells()) {
      for (int64_t run_id = 1; run_id <= 6; ++run_id) {
        if (absl::EndsWith(cell.note(), absl::StrCat("continues run ", run_id)))
          runs.insert(run_id);
      }
    }
    return runs;
  };
  ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse before, Propose(all));
  ASSERT_THAT(continued(before), Not(IsEmpty()));
  const int64_t cancelled = *continued(before).begin();

  TinySweep larger = SixSizes();
  larger.budgets = "[10240, 20480, 40960, 102400, 110592]";
  ASSERT_OK(Submit(larger));
  v1::CancelSweepRequest cancel;
  cancel.set_name("tiny");
  cancel.add_run_ids(cancelled);
  ASSERT_OK(Call(&v1::ClientService::Stub::CancelSweep, cancel));
  PlayToTheEnd();
  ASSERT_OK_AND_ASSIGN(const v1::ProposeCellsResponse after, Propose(all));
  EXPECT_THAT(continued(after), Not(Contains(cancelled)));
}

}  // namespace
}  // namespace allometry::testing
