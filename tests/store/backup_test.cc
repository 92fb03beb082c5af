// Copies of a live database.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "tests/store/store_fixture.h"
#include "tests/testing/small_disk.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BackupTest : public StoreFixture {
 protected:
  // What the pieces add up to.
  absl::StatusOr<BackupSummary> BackupTo(std::string& bytes) {
    bytes.clear();
    return store_->Backup([&](absl::string_view piece) {
      bytes.append(piece.data(), piece.size());
      return true;
    });
  }

  // Names beside the database that are not of its own life.
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      if (name.find("backup") != std::string::npos) names.push_back(name);
    }
    return names;
  }

  std::unique_ptr<Store> OpenCopy(const std::string& bytes) {
    const std::string path = folder_ + "/copy.db";
    EXPECT_OK(WriteFileAtomically(path, bytes));
    auto copy = Store::Open(path, options_);
    EXPECT_OK(copy);
    return copy.ok() ? *std::move(copy) : nullptr;
  }
};

TEST_F(BackupTest, CopyTakenWhileWritesGoOnIsOneCommitAndWorks) {
  SubmitAndRegister();
  const v1::Lease lease = Start().lease;
  std::atomic<bool> over = false;
  std::atomic<uint64_t> acknowledged = 0;
  std::thread writer([&] {
    Spool spool(lease);
    while (!over.load()) {
      // A point of each of two series in one batch: a copy has both or neither.
      const auto step = static_cast<int64_t>(spool.sequence());
      const v1::RecordAck ack =
          Append(spool.Batch({spool.Point(step, "train", 1), spool.Point(step, "grad_norm", 2)}));
      acknowledged = ack.durable_sequence();
    }
  });
  while (acknowledged.load() < 100) std::this_thread::yield();
  const uint64_t before = acknowledged.load();
  std::string bytes;
  const auto summary = BackupTo(bytes);
  over = true;
  writer.join();
  ASSERT_OK(summary);
  EXPECT_EQ(summary->bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(summary->hash, HashHex(bytes));
  EXPECT_THAT(Leftovers(), ElementsAre());

  const std::unique_ptr<Store> copy = OpenCopy(bytes);
  ASSERT_NE(copy, nullptr);
  ASSERT_OK_AND_ASSIGN(const RunRow row, copy->GetRun(1));
  EXPECT_GE(row.attempt->durable_sequence, before) << "what was acknowledged before is in it";
  ASSERT_OK_AND_ASSIGN(const auto train, copy->Curve(1, "train"));
  ASSERT_OK_AND_ASSIGN(const auto grad_norm, copy->Curve(1, "grad_norm"));
  EXPECT_EQ(train.size() + grad_norm.size(), row.attempt->durable_sequence);
  EXPECT_EQ(train.size(), grad_norm.size());

  // The sweep goes on in it.
  Spool rest(lease);
  v1::Record record = rest.Point(1'000'000, "train", 3);
  record.set_sequence(row.attempt->durable_sequence + 1);
  ASSERT_OK_AND_ASSIGN(const v1::RecordAck ack,
                       testing::AppendAndWait(*copy, rest.Batch({record})));
  EXPECT_EQ(ack.durable_sequence(), row.attempt->durable_sequence + 1);
}

TEST_F(BackupTest, OneThatNobodyReadsOnDoesNotBlockAnother) {
  const auto stopped = store_->Backup([&](absl::string_view) {
    std::string other;
    EXPECT_OK(BackupTo(other));
    EXPECT_THAT(Leftovers(), ElementsAre()) << "gone before the first piece";
    return false;
  });
  EXPECT_THAT(stopped, StatusIs(absl::StatusCode::kCancelled));
  std::string bytes;
  EXPECT_OK(BackupTo(bytes));
}

TEST_F(BackupTest, UnfinishedCopyOfAKilledCoordinatorIsRemovedAtTheNextStart) {
  ASSERT_OK(WriteFileAtomically(path_ + ".backup.unfinished", "half"));
  std::string bytes;
  EXPECT_OK(BackupTo(bytes)) << "one that appears later is in nobody's way either";
  ASSERT_OK(WriteFileAtomically(path_ + ".backup.unfinished", "half"));
  Reopen();
  EXPECT_THAT(Leftovers(), ElementsAre());
}

TEST_F(BackupTest, DamagedDatabaseGivesNoCopy) {
  SubmitAndRegister();
  for (int i = 0; i < 200; ++i) ASSERT_OK(store_->AddEvent(0, 0, std::string(300, 'e')));
  Reopen();  // the write-ahead log is in the file
  const int fd = open(path_.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  const std::string garbage(4096, '\x5a');
  const auto size = static_cast<off_t>(std::filesystem::file_size(path_));
  for (off_t page = size / 8192 * 4096; page < size; page += 4096) {
    ASSERT_EQ(pwrite(fd, garbage.data(), garbage.size(), page), 4096);
  }
  close(fd);
  std::string bytes;
  EXPECT_THAT(BackupTo(bytes), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no copy")));
  EXPECT_TRUE(bytes.empty());
  EXPECT_THAT(Leftovers(), ElementsAre());
}

TEST_F(BackupTest, FullDiskBesideTheDatabaseIsASentenceAndLeavesNothing) {
  store_.reset();
  const pid_t child = fork();
  if (child == 0) {
    if (!allometry::testing::MountSmallDisk(folder_, "6m")) _exit(77);
    [&] {
      Reopen();
      SubmitAndRegister();
      // More than half of the disk: a second one does not fit. Twice, as the log has to fit beside.
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < 18; ++i) ASSERT_OK(store_->AddEvent(0, 0, std::string(100'000, 'e')));
        Reopen();
      }
      std::string bytes;
      EXPECT_THAT(BackupTo(bytes), StatusIs(absl::StatusCode::kResourceExhausted,
                                            AllOf(HasSubstr("no copy"), HasSubstr("make room"))));
      EXPECT_TRUE(bytes.empty());
      EXPECT_THAT(Leftovers(), ElementsAre());
      EXPECT_OK(store_->AddEvent(0, 0, "the coordinator goes on"));
      ASSERT_TRUE(allometry::testing::ResizeSmallDisk(folder_, "16m"));
      EXPECT_OK(BackupTo(bytes));
    }();
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << allometry::testing::kNoSmallDisk;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace allometry::store
