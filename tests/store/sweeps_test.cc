#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SweepsTest : public StoreFixture {};

TEST_F(SweepsTest, ASubmittedSweepIsReadBackWithItsRunsAndCells) {
  Submission submission = MakeSubmission({"5k", "40k"});
  submission.sweep.add_left_out("320k at 3e10 FLOPs: too short");
  ASSERT_OK_AND_ASSIGN(const int64_t sweep_id, store_->Submit(submission));
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  EXPECT_EQ(stored.sweep.sweep_id(), sweep_id);
  EXPECT_EQ(stored.sweep.dataset(), "text");
  EXPECT_THAT(stored.sweep.left_out(), ElementsAre("320k at 3e10 FLOPs: too short"));
  EXPECT_EQ(stored.sweep.runs(), 2);
  EXPECT_EQ(stored.sweep.cells(), 4);
  EXPECT_EQ(stored.sweep.cells_done(), 0);
  EXPECT_EQ(stored.newest_text, "name: grid\n");
  EXPECT_EQ(stored.train_tokens, 5000);
  ASSERT_EQ(stored.runs.size(), 2u);
  EXPECT_EQ(stored.runs[1].size(), "40k");
  EXPECT_EQ(stored.runs[1].state(), v1::PENDING);
  EXPECT_EQ(stored.runs[1].spec().SerializeAsString(),
            submission.new_runs[1].spec().SerializeAsString());
  EXPECT_EQ(stored.runs[1].params().blocks(), 900);
  ASSERT_EQ(stored.cells.size(), 4u);
  EXPECT_EQ(stored.cells[1].step(), 100);
  EXPECT_FALSE(stored.cells[1].done());
}

TEST_F(SweepsTest, AMissingNameListsTheNamesThereAre) {
  EXPECT_THAT(store_->GetSweep("gird"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nor any other yet")));
  ASSERT_OK(store_->Submit(MakeSubmission()));
  EXPECT_THAT(store_->GetSweep("gird"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is grid")));
}

TEST_F(SweepsTest, ASubmissionAgainstOldRowsIsAborted) {
  ASSERT_OK(store_->Submit(MakeSubmission()));
  EXPECT_THAT(store_->Submit(MakeSubmission()), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));

  Submission more = MakeSubmission({"80k"});
  more.sweep.set_sweep_id(stored.sweep.sweep_id());
  more.based_on = stored.newest_expansion;
  ASSERT_OK(store_->Submit(more));
  Submission late = MakeSubmission({"160k"});
  late.sweep.set_sweep_id(stored.sweep.sweep_id());
  late.based_on = stored.newest_expansion;
  EXPECT_THAT(store_->Submit(late), StatusIs(absl::StatusCode::kAborted));
  ASSERT_OK_AND_ASSIGN(const StoredSweep after, store_->GetSweep("grid"));
  EXPECT_EQ(after.runs.size(), 2u);
}

TEST_F(SweepsTest, ARefusedSubmissionLeavesNothing) {
  Submission submission = MakeSubmission();
  submission.new_cells.push_back(MakeCell("no-such-run", "40k", 10));
  EXPECT_THAT(store_->Submit(submission), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Sql("SELECT name FROM sweeps"), IsEmpty());
  EXPECT_THAT(Sql("SELECT run_key FROM runs"), IsEmpty());
  EXPECT_THAT(Sql("SELECT text FROM events"), IsEmpty());
}

TEST_F(SweepsTest, CancelEndsWaitingRunsAndAsksLeasedOnesToStop) {
  SubmitAndRegister({"5k", "40k"});
  Start(1);
  EXPECT_THAT(store_->Cancel("grid", {}), testing::IsOkAndHolds(2));
  EXPECT_EQ(GetRun(1).state(), v1::LEASED);
  ASSERT_OK_AND_ASSIGN(const RunRow leased, store_->GetRun(1));
  EXPECT_EQ(leased.attempt->stop, StopAsked::kCancel);
  EXPECT_EQ(GetRun(2).state(), v1::RUN_CANCELLED);
  EXPECT_THAT(store_->Cancel("grid", {7}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no run 7")));
}

TEST_F(SweepsTest, RetryClearsTheFailuresOfFailedAndCancelledRunsOnly) {
  SubmitAndRegister({"5k", "40k", "80k"});
  const Attempt attempt = Start(1);
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Exit(v1::DIVERGED, 0, "the loss is not finite")}));
  ASSERT_EQ(GetRun(1).state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun(1).failure(), v1::DIVERGED);
  ASSERT_OK(store_->Cancel("grid", {2}));
  EXPECT_THAT(store_->Retry("grid", {}), testing::IsOkAndHolds(2));
  EXPECT_EQ(GetRun(1).state(), v1::PENDING);
  EXPECT_EQ(GetRun(1).failures(), 0);
  EXPECT_EQ(GetRun(1).failure(), v1::EXIT_REASON_UNSPECIFIED);
  EXPECT_EQ(GetRun(1).attempt(), 1);
  EXPECT_EQ(GetRun(2).state(), v1::PENDING);
}

TEST_F(SweepsTest, ALargerBudgetReopensASucceededRunAtItsCheckpoint) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Point(50, "heldout", 3),
                      spool.Point(100, "heldout", 2), spool.Checkpoint(100),
                      spool.Exit(v1::SUCCEEDED, 100)}));
  ASSERT_EQ(GetRun().state(), v1::RUN_SUCCEEDED);

  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({});
  more.sweep.set_sweep_id(stored.sweep.sweep_id());
  more.based_on = stored.newest_expansion;
  more.changed_runs.push_back({1, MakeSpec(200, {20, 50, 100, 200})});
  more.new_cells.push_back(MakeCell("key-40k", "40k", 200));
  ASSERT_OK(store_->Submit(more));
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_THAT(GetRun().reason(), HasSubstr("to step 100, now to step 200"));
  EXPECT_EQ(Start().spec.start().step(), 100);
}

TEST_F(SweepsTest, ACellThatIsStoredAlreadyDoesNotReopenItsRun) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(20, "heldout", 4), spool.Point(50, "heldout", 3),
                      spool.Point(100, "heldout", 2), spool.Exit(v1::SUCCEEDED, 100)}));
  ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
  Submission more = MakeSubmission({});
  more.sweep.set_sweep_id(stored.sweep.sweep_id());
  more.based_on = stored.newest_expansion;
  more.new_cells.push_back(MakeCell("key-40k", "40k", 20));
  ASSERT_OK(store_->Submit(more));
  EXPECT_EQ(GetRun().state(), v1::RUN_SUCCEEDED);
  EXPECT_THAT(Sql("SELECT step, done, loss FROM cell_results ORDER BY step"),
              ElementsAre("20|1|4.0", "50|1|3.0", "100|1|2.0"));
}

TEST_F(SweepsTest, CurvesAreReadableWithOnePlainQueryWhileTheStoreIsOpen) {
  SubmitAndRegister({"5k", "40k"});
  const Attempt attempt = Start(2);
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(10, "train", 4.5), spool.Point(20, "heldout", 4.25),
                      spool.Point(50, "heldout", 3.5)}));
  EXPECT_THAT(Sql("SELECT step, tokens, value FROM curves WHERE sweep='grid' AND size='40k' AND "
                  "series='heldout' ORDER BY step"),
              ElementsAre("20|2000|4.25", "50|5000|3.5"));
}

TEST_F(SweepsTest, TheCurvesViewWalksKeysAndScansNoTableOfPoints) {
  const std::vector<std::string> plan =
      Sql("EXPLAIN QUERY PLAN SELECT step, tokens, value FROM curves WHERE sweep='grid' AND "
          "size='40k' AND series='heldout' ORDER BY step");
  EXPECT_THAT(plan, ::testing::Contains(HasSubstr("SEARCH points USING PRIMARY KEY")));
  EXPECT_THAT(plan, ::testing::Not(::testing::Contains(HasSubstr("SCAN points"))));
}

TEST_F(SweepsTest, ObservationsLeaveOutTheWarmUpAndSayWhichEndACell) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  Append(spool.Batch({spool.Point(10, "heldout", 5), spool.Point(20, "heldout", 4),
                      spool.Point(50, "heldout", 3)}));
  ASSERT_OK_AND_ASSIGN(const std::vector<ObservationRow> rows,
                       store_->Observations("grid", "heldout"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].step, 20);
  EXPECT_FALSE(rows[0].ends_cell);
  EXPECT_EQ(rows[1].tokens, 5000);
  EXPECT_TRUE(rows[1].ends_cell);
  EXPECT_EQ(rows[1].loss, 3);
  EXPECT_EQ(rows[1].epochs, 1);
  EXPECT_EQ(rows[1].n_params, 1000);
  EXPECT_EQ(rows[1].params.token_embedding(), 100);
}

TEST_F(SweepsTest, ExportPagesThroughEveryPointOnce) {
  SubmitAndRegister({"5k", "40k"});
  for (const int64_t run_id : {1, 2}) {
    Spool spool(Start(run_id).lease);
    std::vector<v1::Record> records;
    for (int step = 1; step <= 7; ++step) {
      records.push_back(spool.Point(step, "train", step));
      records.push_back(spool.Point(step, "grad_norm", 1));
    }
    Append(spool.Batch(records));
  }
  std::vector<std::string> seen;
  PointKey after;
  for (;;) {
    ASSERT_OK_AND_ASSIGN(const std::vector<ExportedPoint> page,
                         store_->ExportPoints("grid", "", after, 5));
    for (const ExportedPoint& point : page) {
      seen.push_back(absl::StrCat(point.size, " ", point.series, " ", point.point.step));
    }
    if (page.size() < 5) break;
    after = page.back().key;
  }
  EXPECT_EQ(seen.size(), 28u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 28u);
  ASSERT_OK_AND_ASSIGN(const std::vector<ExportedPoint> train,
                       store_->ExportPoints("grid", "train", PointKey(), 100));
  EXPECT_EQ(train.size(), 14u);
}

TEST_F(SweepsTest, AFitIsReadBackAndItsPredictionsAreRows) {
  ASSERT_OK_AND_ASSIGN(const int64_t sweep_id, store_->Submit(MakeSubmission()));
  Fit fit;
  fit.fit_id = "0123456789abcdef";
  fit.sweep_id = sweep_id;
  fit.kind = FitKind::kPredict;
  fit.options_json = "{\"law\":\"standard\"}";
  fit.report_json = "{}";
  const std::vector<Prediction> predictions = {{"frontier", 1e14, 1e6, 1e8, 0, "{}"},
                                               {"parametric", 1e14, 1e6, 1e8, 2.5, "{}"}};
  ASSERT_OK(store_->RecordFit(fit, predictions));
  const char* const row = "SELECT kind, options_json, created_unix_us FROM fits";
  const std::vector<std::string> stored = Sql(row);
  EXPECT_THAT(stored, ElementsAre(StartsWith("predict|" + fit.options_json + "|")));

  // The same fit later is the same prediction, made when it was made first.
  ASSERT_OK(store_->RecordFit(fit, predictions));
  ASSERT_OK_AND_ASSIGN(const std::vector<StoredPrediction> all, store_->Predictions("grid"));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].fit_id, fit.fit_id);
  EXPECT_GT(all[0].created_unix_us, 0);
  EXPECT_EQ(Sql(row), stored);
  EXPECT_EQ(all[0].prediction.method, "frontier");
  EXPECT_EQ(all[1].prediction.method, "parametric");
  EXPECT_EQ(all[1].prediction.loss, 2.5);
  EXPECT_EQ(all[1].options_json, fit.options_json);
  EXPECT_THAT(store_->Predictions("none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SweepsTest, EventsOfASweepComeWithThoseOfNone) {
  ASSERT_OK_AND_ASSIGN(const int64_t sweep_id, store_->Submit(MakeSubmission()));
  ASSERT_OK_AND_ASSIGN(const int64_t before, store_->NewestEvent());
  ASSERT_OK(store_->AddEvent(sweep_id, 1, "mine"));
  ASSERT_OK(store_->AddEvent(sweep_id + 1, 0, "another's"));
  ASSERT_OK(store_->AddEvent(0, 0, "everyone's"));
  ASSERT_OK_AND_ASSIGN(const std::vector<Event> events, store_->EventsAfter(sweep_id, before, 10));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].text, "mine");
  EXPECT_EQ(events[1].text, "everyone's");
}

}  // namespace
}  // namespace allometry::store
