#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <string>
#include <thread>

#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RecordsTest : public StoreFixture {};

TEST_F(RecordsTest, AResendChangesNothing) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  const v1::RecordBatch batch =
      spool.Batch({spool.Point(10, "train", 4), spool.Checkpoint(10), spool.Point(20, "train", 3)});
  EXPECT_EQ(Append(batch).durable_sequence(), 3u);
  const auto rows = Sql("SELECT * FROM points");
  EXPECT_EQ(Append(batch).durable_sequence(), 3u);
  EXPECT_EQ(Sql("SELECT * FROM points"), rows);
  EXPECT_THAT(Sql("SELECT count(*) FROM checkpoints"), ElementsAre("1"));
  EXPECT_THAT(Sql("SELECT count(*) FROM set_aside"), ElementsAre("0"));
}

TEST_F(RecordsTest, BehindAGapNothingIsTaken) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  const v1::Record one = spool.Point(1, "train", 1), two = spool.Point(2, "train", 2),
                   three = spool.Point(3, "train", 3);
  const v1::RecordAck ack = Append(spool.Batch({one, three}));
  EXPECT_EQ(ack.durable_sequence(), 1u);
  EXPECT_THAT(ack.message(), HasSubstr("send from 2"));
  EXPECT_EQ(Append(spool.Batch({three})).durable_sequence(), 1u);
  EXPECT_EQ(Append(spool.Batch({two, three})).durable_sequence(), 3u);
  EXPECT_THAT(Sql("SELECT step FROM points"), ElementsAre("1", "2", "3"));
}

TEST_F(RecordsTest, RandomlyResentAndReorderedBatchesGiveOneCleanCurve) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  std::vector<v1::Record> records;
  for (int step = 1; step <= 300; ++step) records.push_back(spool.Point(step, "train", 1.0 / step));
  std::mt19937 random(7);
  uint64_t durable = 0;
  while (durable < records.size()) {
    const size_t begin = random() % records.size();
    const size_t end = std::min(records.size(), begin + 1 + random() % 40);
    const uint64_t before = durable;
    durable = Append(spool.Batch({records.begin() + static_cast<std::ptrdiff_t>(begin),
                                  records.begin() + static_cast<std::ptrdiff_t>(end)}))
                  .durable_sequence();
    ASSERT_EQ(durable, begin <= before ? std::max<uint64_t>(before, end) : before);
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<CurvePoint> curve, store_->Curve(1, "train"));
  ASSERT_EQ(curve.size(), 300u);
  for (size_t i = 0; i < curve.size(); ++i) {
    EXPECT_EQ(curve[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(*curve[i].value, 1.0 / static_cast<double>(i + 1)) << "bit for bit";
  }
}

TEST_F(RecordsTest, ARecordThatCanNeverBeStoredIsSetAsideAndAcknowledged) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  v1::Record no_series = spool.Point(1, "", 1);
  v1::Record escape = spool.Checkpoint(2);
  escape.mutable_checkpoint()->set_file("attempt-1/../../etc/passwd");
  v1::Record others = spool.Checkpoint(3);
  others.mutable_checkpoint()->set_file("attempt-2/checkpoint");
  v1::Record no_hash = spool.Checkpoint(4);
  no_hash.mutable_checkpoint()->set_hash("xyz");
  v1::Record no_reason = spool.Exit(v1::EXIT_REASON_UNSPECIFIED, 5);
  v1::Record unknown = spool.Point(6, "train", 1);
  unknown.clear_kind();
  const v1::Record good = spool.Point(7, "train", 1);
  const v1::RecordAck ack =
      Append(spool.Batch({no_series, escape, others, no_hash, no_reason, unknown, good}));
  EXPECT_EQ(ack.durable_sequence(), 7u);
  EXPECT_EQ(ack.set_aside_size(), 6);
  EXPECT_THAT(Sql("SELECT sequence FROM set_aside"), ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_THAT(Sql("SELECT step FROM points"), ElementsAre("7"));
  EXPECT_THAT(Sql("SELECT count(*) FROM checkpoints"), ElementsAre("0"));
  EXPECT_EQ(GetRun().state(), v1::LEASED);
}

TEST_F(RecordsTest, AValueThatIsNotFiniteIsNullAndDoesNotEndACell) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  const v1::Record finite = spool.Point(20, "heldout", 4);
  v1::Record null = spool.Point(50, "heldout", 0);
  null.mutable_point()->set_is_null(true);
  const v1::Record nan = spool.Point(50, "train", std::nan(""));
  const v1::Record exit = spool.Exit(v1::DIVERGED, 50, "the loss is not finite");
  Append(spool.Batch({finite, null, nan, exit}));
  ASSERT_OK_AND_ASSIGN(const std::vector<CurvePoint> curve, store_->Curve(1, "heldout"));
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_FALSE(curve[1].value.has_value());
  EXPECT_THAT(Sql("SELECT step FROM points WHERE value IS NULL"), ElementsAre("50", "50"));
  EXPECT_THAT(Sql("SELECT done FROM cell_results WHERE step = 50"), ElementsAre("0"));
  EXPECT_EQ(GetRun().last_heldout_loss(), 4);
  EXPECT_EQ(GetRun().state(), v1::RUN_FAILED);
  EXPECT_EQ(GetRun().failure(), v1::DIVERGED);
}

TEST_F(RecordsTest, TheExitRecordEndsTheSpool) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  const v1::Record exit = spool.Exit(v1::KILLED, 5, "signal 9\nlast lines of the log");
  const v1::Record late = spool.Point(6, "train", 1);
  const v1::RecordAck ack = Append(spool.Batch({exit, late}));
  EXPECT_EQ(ack.durable_sequence(), 2u);
  EXPECT_EQ(ack.set_aside_size(), 1);
  EXPECT_EQ(GetRun().state(), v1::PENDING);
  EXPECT_EQ(GetRun().failures(), 1);
  EXPECT_EQ(GetRun().reason(), "failed 1 of 3 times: KILLED: signal 9; starts again");
  ASSERT_OK_AND_ASSIGN(const std::vector<Attempt> attempts, store_->Attempts(1));
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_THAT(attempts[0].exit_message, HasSubstr("last lines of the log"));
  EXPECT_EQ(attempts[0].state, AttemptState::kEnded);
}

TEST_F(RecordsTest, ALongExitMessageIsCutBetweenTwoCharacters) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  std::string message = "a";
  for (int i = 0; i < 20'000; ++i) message += "\u00f6";  // two bytes each
  Append(spool.Batch({spool.Exit(v1::KILLED, 5, message)}));
  ASSERT_OK_AND_ASSIGN(const std::vector<Attempt> attempts, store_->Attempts(1));
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].exit_message, message.substr(0, (16 << 10) - 3) + "...");
}

TEST_F(RecordsTest, NumericsAreColumnsOfTheAttempt) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  v1::Record record = spool.Point(0, "", 0);
  record.mutable_numerics()->set_ranks(2);
  record.mutable_numerics()->set_device_model("Some CPU");
  Append(spool.Batch({record}));
  EXPECT_THAT(Sql("SELECT ranks, device_model FROM attempts"), ElementsAre("2|Some CPU"));
  ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
  EXPECT_EQ(row.attempt->numerics.ranks(), 2);
}

TEST_F(RecordsTest, ProgressIsInTheRunsRow) {
  SubmitAndRegister();
  Spool spool(Start().lease);
  const v1::Record a = spool.Point(10, "train", 4.5), b = spool.Point(20, "heldout", 4.25),
                   c = spool.Point(20, "tokens_per_second", 12345);
  Append(spool.Batch({a, b, c}));
  EXPECT_EQ(GetRun().step(), 20);
  EXPECT_EQ(GetRun().last_train_loss(), 4.5);
  EXPECT_EQ(GetRun().last_heldout_loss(), 4.25);
  EXPECT_EQ(GetRun().tokens_per_second(), 12345);
}

TEST_F(RecordsTest, ManySmallWritesOfManyThreadsShareCommits) {
  std::atomic<int> commits = 0;
  options_.committed = [&commits](absl::Span<const RunRow>) { ++commits; };
  Reopen();
  SubmitAndRegister({"a", "b", "c", "d"});
  std::vector<v1::Lease> leases;
  for (int64_t run_id = 1; run_id <= 4; ++run_id) leases.push_back(Start(run_id).lease);
  commits = 0;
  constexpr int kBatches = 200;
  std::atomic<int> acked = 0;
  std::vector<std::thread> threads;
  for (const v1::Lease& lease : leases) {
    threads.emplace_back([&, lease] {
      Spool spool(lease);
      for (int step = 1; step <= kBatches; ++step) {
        store_->Append(spool.Batch({spool.Point(step, "train", step)}),
                       [&acked](absl::StatusOr<v1::RecordAck> ack) {
                         if (ack.ok() && !ack->stale()) ++acked;
                       });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK(store_->AddEvent(0, 0, "behind everything before it"));
  EXPECT_EQ(acked, 4 * kBatches);
  EXPECT_LT(commits, 4 * kBatches);
  EXPECT_THAT(Sql("SELECT count(*) FROM points"), ElementsAre("800"));
  store_.reset();
}

TEST_F(RecordsTest, AFailedOperationDoesNotTakeItsGroupWithIt) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  Spool spool(attempt.lease);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k) EXPECT_FALSE(store_->StartAttempt(1, "a", {}).ok());
    });
  }
  for (int step = 1; step <= 50; ++step) {
    EXPECT_EQ(Append(spool.Batch({spool.Point(step, absl::StrCat("series ", step), 1)}))
                  .durable_sequence(),
              static_cast<uint64_t>(step));
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Sql("SELECT count(*) FROM curves"), ElementsAre("50"));
  EXPECT_THAT(Sql("SELECT count(*) FROM attempts"), ElementsAre("1"));
}

}  // namespace
}  // namespace allometry::store
