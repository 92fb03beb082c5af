// A sweep is removed whole, and nothing else is; what must stay is refused.
#include <string>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

bool Never() { return false; }

class DeletionTest : public StoreFixture {
 protected:
  // Sweep "grid" with runs 1 and 2, both cancelled; run 1 was trained to step 70.
  Attempt EndedSweep() {
    SubmitAndRegister({"40k", "80k"});
    const Attempt attempt = TrainToStep70();
    EXPECT_OK(store_->Cancel("grid", {}));
    Spool spool(attempt.lease);
    std::vector<v1::Record> exit = {spool.Exit(v1::CANCELLED_BY_USER, 70)};
    exit[0].set_sequence(10);
    Append(spool.Batch(exit));
    EXPECT_EQ(GetRun(1).state(), v1::RUN_CANCELLED);
    EXPECT_EQ(GetRun(2).state(), v1::RUN_CANCELLED);
    Fit fit;
    fit.fit_id = "f";
    fit.sweep_id = 1;
    fit.kind = FitKind::kPredict;
    Prediction prediction;
    prediction.method = "frontier";
    prediction.flops = 1e9;
    EXPECT_OK(store_->RecordFit(fit, {prediction}));
    LabelChange labels;
    labels.add_tags = {"paper"};
    EXPECT_OK(store_->Label("grid", labels));
    return attempt;
  }

  // Every table that has rows, with how many, but those of no sweep.
  std::vector<std::string> FilledTables() {
    std::vector<std::string> filled;
    for (const std::string& table :
         Sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('datasets', "
             "'series', 'agents', 'agent_slots', 'agent_datasets', 'openings', 'used_ids') "
             "ORDER BY name")) {
      const std::string rows = Sql("SELECT count(*) FROM " + table).at(0);
      if (rows != "0") filled.push_back(table + " " + rows);
    }
    return filled;
  }
};

TEST_F(DeletionTest, RemovesEveryRowOfTheSweepAndLeavesItsDirectoriesToTheWorkers) {
  EndedSweep();
  ASSERT_OK_AND_ASSIGN(const DeletionSummary planned, store_->PlanDeletion("grid"));
  EXPECT_EQ(planned.runs, 2);
  EXPECT_EQ(planned.points, 7);
  EXPECT_EQ(planned.fits, 1);
  EXPECT_EQ(planned.predictions, 1);
  EXPECT_EQ(planned.checkpoints, 2);
  EXPECT_EQ(planned.checkpoint_bytes, 2 * 1234);
  EXPECT_THAT(planned.directories, ElementsAre(Pair("root-a", 1)));
  EXPECT_OK(store_->GetSweep("grid"));  // only planned

  ASSERT_OK_AND_ASSIGN(const DeletionSummary done, store_->Delete("grid", {"ann", true}, Never));
  EXPECT_EQ(done.points, planned.points);
  EXPECT_THAT(store_->GetSweep("grid"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(FilledTables(), ElementsAre("deletable_runs 1", "events 2"));
  EXPECT_THAT(Sql("SELECT sweep_id, text FROM events"),
              ElementsAre("0|worker on host-a registered with 2 slots",
                          "0|sweep 'grid' was deleted by ann"));
  EXPECT_THAT(Sql("PRAGMA foreign_key_check"), IsEmpty());

  ASSERT_OK_AND_ASSIGN(const std::vector<DeletableRun> runs, store_->DeletableRuns("root-a"));
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs[0].run_id, 1);
  EXPECT_EQ(runs[0].run_key, "key-40k");
  ASSERT_OK(store_->RunsDeleted("root-b", {1}));  // another root's
  EXPECT_THAT(*store_->DeletableRuns("root-a"), SizeIs(1));
  ASSERT_OK(store_->RunsDeleted("root-a", {1}));
  EXPECT_THAT(*store_->DeletableRuns("root-a"), IsEmpty());
}

TEST_F(DeletionTest, IdsOfDeletedRunsAndSweepsAreNotGivenAgain) {
  EndedSweep();
  ASSERT_OK(store_->Delete("grid", {}, Never));
  Reopen();
  ASSERT_OK_AND_ASSIGN(const int64_t sweep_id, store_->Submit(MakeSubmission()));
  EXPECT_EQ(sweep_id, 2);
  ASSERT_OK_AND_ASSIGN(const StoredSweep sweep, store_->GetSweep("grid"));
  ASSERT_THAT(sweep.runs, SizeIs(1));
  EXPECT_EQ(sweep.runs[0].run_id(), 3);  // its directory is not the one that is being removed
  // Nor where the deleted sweep was not the newest.
  Submission other = MakeSubmission({"80k"});
  other.sweep.set_name("other");
  ASSERT_OK(store_->Submit(other));
  ASSERT_OK(store_->Cancel("grid", {}));
  ASSERT_OK(store_->Delete("grid", {}, Never));
  Submission third = MakeSubmission({"20k"});
  third.sweep.set_name("third");
  ASSERT_OK(store_->Submit(third));
  ASSERT_OK_AND_ASSIGN(const StoredSweep newest, store_->GetSweep("third"));
  EXPECT_EQ(newest.runs.at(0).run_id(), 5);
  EXPECT_EQ(newest.sweep.sweep_id(), 4);
}

TEST_F(DeletionTest, OpenSweepIsRefusedAndStaysAsItIs) {
  SubmitAndRegister({"40k", "80k"});
  TrainToStep70();
  for (const absl::Status& refused :
       {store_->PlanDeletion("grid").status(), store_->Delete("grid", {}, Never).status()}) {
    EXPECT_THAT(refused,
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("1 runs wait and 1 run"), HasSubstr("allo cancel grid"))));
  }
  EXPECT_THAT(*store_->DeletableRuns("root-a"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto curve, store_->Curve(1, "heldout"));
  EXPECT_THAT(curve, SizeIs(2));
  EXPECT_THAT(store_->Delete("gird", {}, Never),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is grid")));
}

TEST_F(DeletionTest, InterruptedDeletionIsVisibleRefusesOtherCallsAndGoesOn) {
  const Attempt attempt = EndedSweep();
  int calls = 0;
  EXPECT_THAT(store_->Delete("grid", {}, [&] { return ++calls > 1; }),
              StatusIs(absl::StatusCode::kCancelled));
  Reopen();  // as after a kill
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::Sweep> sweeps, store_->ListSweeps());
  ASSERT_THAT(sweeps, SizeIs(1));
  EXPECT_TRUE(sweeps[0].being_deleted());
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("being deleted"));
  EXPECT_THAT(store_->GetSweep("grid"), refused);
  EXPECT_THAT(store_->Retry("grid", {}), refused);
  EXPECT_THAT(store_->Submit(MakeSubmission()), refused);
  // A trainer that nobody could reach writes nothing any more.
  Spool spool(attempt.lease);
  EXPECT_TRUE(Append(spool.Batch({spool.Point(80, "train", 3)})).stale());

  ASSERT_OK_AND_ASSIGN(const DeletionSummary rest, store_->PlanDeletion("grid"));
  EXPECT_EQ(rest.points, 0);  // of run 1 they are gone
  EXPECT_THAT(rest.directories, ElementsAre(Pair("root-a", 1)));
  ASSERT_OK(store_->Delete("grid", {}, Never));
  EXPECT_THAT(FilledTables(), ElementsAre("deletable_runs 1", "events 2"));
}

TEST_F(DeletionTest, MoreRowsThanOneTransactionTakesAreRemovedToo) {
  EndedSweep();
  Sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000) "
      "INSERT INTO points SELECT 2, 2, i, i * 100, 3.0, 1 FROM n");
  Sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
      "INSERT INTO archived_points SELECT 2, 1, 2, i, i * 100, 3.0 FROM n");
  int batches = 0;
  ASSERT_OK(store_->Delete("grid", {}, [&] {
    ++batches;
    return false;
  }));
  EXPECT_EQ(batches, 1 + 3);
  EXPECT_THAT(FilledTables(), ElementsAre("deletable_runs 1", "events 2"));
}

TEST_F(DeletionTest, SweepWhoseTokenizerAnotherOneReadsIsRefused) {
  v1::RunSpec tokenizer_spec = MakeSpec(100, {});
  tokenizer_spec.set_kind("tokenizer");
  tokenizer_spec.add_checkpoint_steps(100);
  v1::Run tokenizer = MakeRun("key-tokenizer", "tokenizer", tokenizer_spec);
  tokenizer.set_stage("tokenizer");
  v1::RunSpec reader_spec = MakeSpec(100, {100});
  reader_spec.mutable_identity()->set_tokenizer_key("key-tokenizer");
  reader_spec.add_inputs()->set_kind("tokenizer");
  reader_spec.mutable_inputs(0)->set_run_key("key-tokenizer");
  Submission first = MakeSubmission({});
  first.new_runs = {tokenizer, MakeRun("key-40k", "40k", reader_spec)};
  ASSERT_OK(store_->Submit(first));
  Submission second = MakeSubmission({});
  second.sweep.set_name("second");
  second.new_runs = {MakeRun("key-40k", "40k", reader_spec)};
  ASSERT_OK(store_->Submit(second));
  ASSERT_OK(store_->Cancel("grid", {}));
  ASSERT_OK(store_->Cancel("second", {}));
  EXPECT_THAT(store_->Delete("grid", {}, Never),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("(second)")));
  ASSERT_OK(store_->Delete("second", {}, Never));
  ASSERT_OK(store_->Delete("grid", {}, Never));
}

}  // namespace
}  // namespace allometry::store
