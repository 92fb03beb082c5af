// A tokenizer in the store: what its readers wait for, what an attempt of theirs is told.
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kTokenizer = 1, kReader = 2;

class TokenizerTest : public StoreFixture {
 protected:
  TokenizerTest() {
    options_.committed = [this](absl::Span<const RunRow> rows) {
      for (const RunRow& row : rows) told_.push_back(row.run.run_id());
    };
    Reopen();
    Submission submission = MakeSubmission({});
    v1::RunSpec tokenizer = MakeSpec(80, {20, 80});
    tokenizer.set_kind("tokenizer");
    v1::Run run = MakeRun("key-tokenizer", "tokenizer", tokenizer);
    run.set_stage("tokenizer");
    v1::RunSpec reads = MakeSpec(100, {50, 100});
    v1::RunInput& input = *reads.add_inputs();
    input.set_kind("tokenizer");
    input.set_run_key("key-tokenizer");
    submission.new_runs = {run, MakeRun("key-reader", "40k", reads)};
    v1::Cell cell = MakeCell("key-reader", "40k", 100).cell;
    cell.set_tokens(1000);
    cell.set_epochs(2);
    submission.new_cells = {{"key-reader", cell}};
    EXPECT_OK(store_->Submit(submission));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("a", "host-a", "root-a"), {}));
    EXPECT_OK(store_->RegisterAgent(MakeAgent("b", "host-b", "root-b"), {}));
  }
  InputRun Needed() {
    auto row = store_->GetRun(kReader);
    EXPECT_OK(row);
    EXPECT_TRUE(row->inputs.contains(run::InputKind::kTokenizer));
    EXPECT_FALSE(row->inputs.contains(run::InputKind::kTrunk));
    return row->inputs[run::InputKind::kTokenizer];
  }
  void FinishTokenizer() {
    Spool spool(Start(kTokenizer).lease);
    Append(spool.Batch({spool.Point(20, "heldout", 0.3), spool.Checkpoint(40),
                        spool.Point(80, "heldout", 0.2), spool.Checkpoint(80),
                        spool.Exit(v1::SUCCEEDED, 80)}));
  }

  std::vector<int64_t> told_;
};

TEST_F(TokenizerTest, ItsReaderIsToldOfEveryStepOnItsWay) {
  EXPECT_EQ(Needed().run_id, kTokenizer);
  EXPECT_EQ(Needed().wanted_step, 80);
  EXPECT_TRUE(Needed().is_to_come);
  told_.clear();
  FinishTokenizer();
  EXPECT_THAT(told_, Contains(kReader));
  EXPECT_EQ(Needed().state, v1::RUN_SUCCEEDED);
  EXPECT_FALSE(Needed().is_to_come);
  EXPECT_THAT(Needed().root_ids, ElementsAre("root-a"));
}

TEST_F(TokenizerTest, AnAttemptIsToldTheFileAndItsHash) {
  FinishTokenizer();
  const Attempt attempt = Start(kReader);
  ASSERT_EQ(attempt.spec.inputs_size(), 1);
  const v1::RunInput& input = attempt.spec.inputs(0);
  EXPECT_EQ(input.kind(), "tokenizer");
  EXPECT_EQ(input.run_id(), kTokenizer);
  EXPECT_EQ(input.file(), "attempt-1/checkpoint-000000000080.safetensors");
  EXPECT_THAT(Sql("SELECT hash FROM checkpoints WHERE run_id = 1 AND step = 80"),
              ElementsAre(input.hash()));
  EXPECT_FALSE(attempt.spec.has_start());
}

TEST_F(TokenizerTest, NothingStartsBeforeItIsThereOrUnderAnotherRoot) {
  const std::vector<v1::Slot> slots = {MakeSlot("host-a", "cpu:0")};
  EXPECT_THAT(store_->StartAttempt(kReader, "a", slots),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("needs run 1's tokenizer")));
  FinishTokenizer();
  EXPECT_THAT(store_->StartAttempt(kReader, "b", slots),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                HasSubstr("not under the run root of host-b")));
  EXPECT_EQ(GetRun(kReader).state(), v1::PENDING);
}

TEST_F(TokenizerTest, ItsFileStaysAndItsErrorsAreNoObservations) {
  FinishTokenizer();
  EXPECT_THAT(*store_->DeletableCheckpoints("root-a"),
              ElementsAre("run-1/attempt-1/checkpoint-000000000040.safetensors"));
  Spool spool(Start(kReader).lease);
  Append(spool.Batch({spool.Point(50, "heldout", 3), spool.Point(100, "heldout", 2.5),
                      spool.Exit(v1::SUCCEEDED, 100)}));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->Observations("grid", "heldout"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].run_id, kReader);
  // Epochs are the cells': of the tokens that were read, not of the dataset's own.
  EXPECT_DOUBLE_EQ(rows[1].epochs, static_cast<double>(rows[1].tokens) * 2 / 1000);
}

class SharedTokenizerTest : public TokenizerTest {
 protected:
  // Another sweep whose run reads the same tokenizer.
  absl::StatusOr<int64_t> SubmitOther() {
    Submission other = MakeSubmission({});
    other.sweep.set_name("other");
    v1::RunSpec reads = MakeSpec(60, {60});
    reads.mutable_identity()->set_tokenizer_key("key-tokenizer");
    v1::RunInput& input = *reads.add_inputs();
    input.set_kind("tokenizer");
    input.set_run_key("key-tokenizer");
    other.new_runs = {MakeRun("key-other", "20k", reads)};
    return store_->Submit(other);
  }
};

TEST_F(SharedTokenizerTest, IsReadByAnotherSweepAndShownThere) {
  ASSERT_OK_AND_ASSIGN(const auto found, store_->FindTokenizer("key-tokenizer"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->sweep, "grid");
  EXPECT_EQ(found->run.run_id(), kTokenizer);
  ASSERT_OK(SubmitOther());
  ASSERT_OK_AND_ASSIGN(const StoredSweep other, store_->GetSweep("other"));
  EXPECT_EQ(other.tokenizer_of, "grid");
  ASSERT_EQ(other.runs.size(), 2u);
  EXPECT_EQ(other.runs[0].run_id(), kTokenizer);
  EXPECT_EQ(other.sweep.runs(), 1);  // counted where it is trained
  EXPECT_THAT(Sql("SELECT count(*) FROM runs"), ElementsAre("3"));
  FinishTokenizer();
  const Attempt attempt = Start(other.runs[1].run_id());
  EXPECT_EQ(attempt.spec.inputs(0).run_id(), kTokenizer);
  EXPECT_NE(attempt.spec.inputs(0).hash(), "");
}

TEST_F(SharedTokenizerTest, StaysWhereItIsWhenItsReaderIsCancelledAndIsNotTakenOverWhenCancelled) {
  ASSERT_OK(SubmitOther());
  EXPECT_THAT(*store_->Cancel("other", {}), 1);
  EXPECT_EQ(GetRun(kTokenizer).state(), v1::PENDING);
  EXPECT_THAT(*store_->Cancel("grid", {}), 2);
  ASSERT_OK_AND_ASSIGN(const auto found, store_->FindTokenizer("key-tokenizer"));
  EXPECT_FALSE(found.has_value());
  // A sweep that reads it stays with it: its runs so far were made from its tokens.
  ASSERT_OK_AND_ASSIGN(const StoredSweep other, store_->GetSweep("other"));
  EXPECT_EQ(other.runs[0].run_id(), kTokenizer);
}

TEST_F(SharedTokenizerTest, WhereNoneIsToBeHadTheSubmissionIsMadeAnew) {
  EXPECT_THAT(*store_->Cancel("grid", {}), 2);
  EXPECT_THAT(SubmitOther(), testing::StatusIs(absl::StatusCode::kAborted, HasSubstr("tokenizer")));
}

}  // namespace
}  // namespace allometry::store
