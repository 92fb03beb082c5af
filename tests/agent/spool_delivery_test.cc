#include "worker/agent/spool_delivery.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::LeaseOf;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using run::ExitReason;
using ::testing::HasSubstr;

class SpoolDeliveryTest : public ::testing::Test {
 protected:
  SpoolDelivery NewDelivery() { return {LeaseOf(1, 1), folder_.path(), "root"}; }

  // Appends `count` points to the spool.
  void Write(int count) {
    ASSERT_OK_AND_ASSIGN(const auto writer, run::SpoolWriter::Continue(folder_.path()));
    for (int i = 0; i < count; ++i) {
      ++step_;
      writer->Append(run::Point{step_, step_ * 16, "train", 1.0 / static_cast<double>(step_)});
    }
    ASSERT_THAT(writer->Flush(), IsOk());
  }
  void WriteExit(ExitReason reason) {
    ASSERT_OK_AND_ASSIGN(const auto writer, run::SpoolWriter::Continue(folder_.path()));
    writer->Append(run::ExitRecord{reason, "", step_});
    ASSERT_THAT(writer->Flush(), IsOk());
  }

  // Everything that can be sent now, as sequence numbers; stops at an error.
  static std::vector<uint64_t> Drain(SpoolDelivery& delivery) {
    std::vector<uint64_t> sequences;
    for (;;) {
      const absl::StatusOr<const v1::RecordBatch*> batch = delivery.NextBatch();
      if (!batch.ok() || *batch == nullptr) return sequences;
      for (const v1::Record& record : (*batch)->records()) sequences.push_back(record.sequence());
    }
  }
  static std::vector<uint64_t> Range(uint64_t first, uint64_t last) {
    std::vector<uint64_t> range;
    for (uint64_t i = first; i <= last; ++i) range.push_back(i);
    return range;
  }

  const TemporaryFolder folder_;
  int64_t step_ = 0;
};

TEST_F(SpoolDeliveryTest, SendsEveryRecordOnceAndInOrder) {
  SpoolDelivery delivery = NewDelivery();
  EXPECT_EQ(Drain(delivery), Range(1, 0)) << "there is no file yet";
  Write(2500);
  EXPECT_EQ(Drain(delivery), Range(1, 2500));
  Write(3);
  EXPECT_EQ(Drain(delivery), Range(2501, 2503));
  EXPECT_EQ(delivery.last_step(), 2503);
}

TEST_F(SpoolDeliveryTest, ARewindSendsWhatWasNotAcknowledged) {
  SpoolDelivery delivery = NewDelivery();
  Write(2500);
  Drain(delivery);
  ASSERT_OK(delivery.Acknowledge(1000));
  delivery.Rewind();
  EXPECT_EQ(Drain(delivery), Range(1001, 2500));
  ASSERT_OK(delivery.Acknowledge(2500));
  delivery.Rewind();
  EXPECT_EQ(Drain(delivery), Range(1, 0));
  Write(1);
  EXPECT_EQ(Drain(delivery), Range(2501, 2501));
}

TEST_F(SpoolDeliveryTest, ARewindBetweenTwoReadsKeepsTheOrder) {
  SpoolDelivery delivery = NewDelivery();
  Write(10);
  ASSERT_THAT(delivery.NextBatch().status(), IsOk());
  delivery.Rewind();
  Write(10);
  EXPECT_EQ(Drain(delivery), Range(1, 20));
}

TEST_F(SpoolDeliveryTest, WhatIsUnacknowledgedIsBounded) {
  SpoolDelivery delivery = NewDelivery();
  Write(20'000);
  EXPECT_EQ(Drain(delivery), Range(1, SpoolDelivery::kWindowRecords));
  EXPECT_THAT(delivery.AtEnd(), IsOkAndHolds(false));
  ASSERT_OK(delivery.Acknowledge(1));
  EXPECT_EQ(Drain(delivery).size(), SpoolDelivery::kBatchRecords);
  ASSERT_OK(delivery.Acknowledge(SpoolDelivery::kWindowRecords + SpoolDelivery::kBatchRecords));
  EXPECT_EQ(Drain(delivery).front(),
            SpoolDelivery::kWindowRecords + SpoolDelivery::kBatchRecords + 1);
}

TEST_F(SpoolDeliveryTest, ABatchIsBoundedInBytes) {
  SpoolDelivery delivery = NewDelivery();
  ASSERT_OK_AND_ASSIGN(const auto writer, run::SpoolWriter::Continue(folder_.path()));
  for (int i = 0; i < 900; ++i) writer->Append(run::Point{i, i, std::string(2000, 's'), 1.0});
  ASSERT_THAT(writer->Flush(), IsOk());
  size_t batches = 0;
  for (;; ++batches) {
    ASSERT_OK_AND_ASSIGN(const v1::RecordBatch* batch, delivery.NextBatch());
    if (batch == nullptr) break;
    EXPECT_LE(batch->ByteSizeLong(), SpoolDelivery::kBatchBytes * 11 / 10);
    EXPECT_EQ(batch->lease().token(), "token");
  }
  EXPECT_GE(batches, 7);
}

TEST_F(SpoolDeliveryTest, IsDeliveredOnceTheExitRecordIsAcknowledged) {
  SpoolDelivery delivery = NewDelivery();
  Write(5);
  WriteExit(ExitReason::kSucceeded);
  Drain(delivery);
  ASSERT_TRUE(delivery.has_exit());
  EXPECT_EQ(delivery.exit().reason, ExitReason::kSucceeded);
  ASSERT_OK(delivery.Acknowledge(5));
  EXPECT_FALSE(delivery.delivered());
  ASSERT_OK(delivery.Acknowledge(6));
  EXPECT_TRUE(delivery.delivered());
}

TEST_F(SpoolDeliveryTest, AnAppendedExitFollowsATornTail) {
  SpoolDelivery delivery = NewDelivery();
  Write(5);
  std::ofstream(run::SpoolPath(folder_.path()), std::ios::app) << "0123456789abcdef {\"se";
  EXPECT_EQ(Drain(delivery), Range(1, 5));
  ASSERT_THAT(delivery.AtEnd(), IsOkAndHolds(true));
  delivery.AppendExit({ExitReason::kKilled, "signal 9", 0});
  ASSERT_OK_AND_ASSIGN(const v1::RecordBatch* batch, delivery.NextBatch());
  ASSERT_NE(batch, nullptr);
  ASSERT_EQ(batch->records_size(), 1);
  EXPECT_EQ(batch->records(0).sequence(), 6);
  EXPECT_EQ(batch->records(0).exit().reason(), v1::KILLED);
  EXPECT_EQ(batch->records(0).exit().step(), 5);
  // The file says so too.
  run::SpoolReader reader(folder_.path());
  ASSERT_OK_AND_ASSIGN(const auto records, reader.Read(100));
  EXPECT_EQ(records.size(), 6);
}

// The agent has one thread: what it has delivered it must not read again.
TEST_F(SpoolDeliveryTest, ExitIsAppendedWithoutReadingWhatWasDelivered) {
  SpoolDelivery delivery = NewDelivery();
  Write(500);
  EXPECT_EQ(Drain(delivery), Range(1, 500));
  const std::string path = run::SpoolPath(folder_.path());
  const auto intact = std::filesystem::file_size(path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(30);
    file << "#";  // whoever reads the first line again finds damage
  }
  EXPECT_THAT(delivery.AtEnd(), IsOkAndHolds(true));
  delivery.AppendExit({ExitReason::kKilled, "signal 9", 0});
  EXPECT_GT(std::filesystem::file_size(path), intact) << "the exit is not in the file";
  EXPECT_EQ(Drain(delivery), Range(501, 501));
  EXPECT_EQ(delivery.exit().step, 500);
}

TEST_F(SpoolDeliveryTest, DamageIsToldAfterEverythingBeforeItAndEndsInMemory) {
  SpoolDelivery delivery = NewDelivery();
  Write(5);
  const std::string path = run::SpoolPath(folder_.path());
  const auto intact = static_cast<std::streamoff>(std::filesystem::file_size(path));
  Write(5);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(intact + 30);
    file << "#";
  }
  EXPECT_EQ(Drain(delivery), Range(1, 5));
  EXPECT_THAT(delivery.AtEnd(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("byte")));
  delivery.AppendExit({ExitReason::kBug, "damaged", 0});
  EXPECT_EQ(Drain(delivery), Range(6, 6));
  ASSERT_OK(delivery.Acknowledge(5));
  delivery.Rewind();
  EXPECT_EQ(Drain(delivery), Range(6, 6));
  ASSERT_OK(delivery.Acknowledge(6));
  EXPECT_TRUE(delivery.delivered());
}

TEST_F(SpoolDeliveryTest, AnExitThatTheFileCannotTakeIsSentFromMemory) {
  SpoolDelivery delivery(LeaseOf(1, 1), "/proc/no-such-folder", "root");
  EXPECT_THAT(delivery.AtEnd(), IsOkAndHolds(true));
  delivery.AppendExit({ExitReason::kDiskFull, "no space", 0});
  EXPECT_EQ(Drain(delivery), Range(1, 1));
}

// The coordinator's database went back: a restored copy, or a log lost with its machine.
TEST_F(SpoolDeliveryTest, AcknowledgedLessThanBeforeItSendsAgainFromThere) {
  SpoolDelivery delivery = NewDelivery();
  Write(2500);
  Drain(delivery);
  ASSERT_OK(delivery.Acknowledge(2000));
  ASSERT_OK(delivery.Acknowledge(700));
  EXPECT_EQ(Drain(delivery), Range(701, 2500));
  // What was on the way meanwhile is answered likewise, and is no reason to begin again.
  ASSERT_OK(delivery.Acknowledge(700));
  EXPECT_EQ(Drain(delivery), Range(1, 0));
  ASSERT_OK(delivery.Acknowledge(2500));
  ASSERT_OK(delivery.Acknowledge(0));
  Write(3);
  EXPECT_EQ(Drain(delivery), Range(1, 2503));
}

TEST_F(SpoolDeliveryTest, WhatWasDeliveredIsNotWhenTheDatabaseWentBack) {
  SpoolDelivery delivery = NewDelivery();
  Write(10);
  WriteExit(ExitReason::kSucceeded);
  Drain(delivery);
  ASSERT_OK(delivery.Acknowledge(11));
  ASSERT_TRUE(delivery.delivered());
  ASSERT_OK(delivery.Acknowledge(4));
  EXPECT_FALSE(delivery.delivered());
  EXPECT_EQ(Drain(delivery), Range(5, 11));
  ASSERT_OK(delivery.Acknowledge(11));
  EXPECT_TRUE(delivery.delivered());
}

TEST_F(SpoolDeliveryTest, AnExitRecordInMemoryComesAgainAtItsPlace) {
  SpoolDelivery delivery = NewDelivery();
  Write(10);
  Drain(delivery);
  // The file has a record that was not read: it cannot take the exit record after it.
  Write(1);
  delivery.AppendExit({ExitReason::kKilled, "killed", 0});
  EXPECT_EQ(Drain(delivery), Range(11, 11)) << "the exit record, not the point";
  ASSERT_OK(delivery.Acknowledge(11));
  ASSERT_OK(delivery.Acknowledge(3));
  EXPECT_EQ(Drain(delivery), Range(4, 11));
  EXPECT_EQ(delivery.exit().reason, ExitReason::kKilled);
}

TEST_F(SpoolDeliveryTest, AFileThatHasLostItsEndCannotBeSentAgain) {
  SpoolDelivery delivery = NewDelivery();
  Write(10);
  Drain(delivery);
  ASSERT_OK(delivery.Acknowledge(10));
  std::filesystem::remove(run::SpoolPath(folder_.path()));
  EXPECT_THAT(delivery.Acknowledge(4), StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace allometry::agent
