#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "base/files.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sqlite.h"
#include "tests/store/store_fixture.h"
#include "tests/testing/small_disk.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DurabilityTest : public StoreFixture {
 protected:
  // Runs body() in a child process that owns the database; its failures become the exit status.
  template <class Body>
  pid_t Fork(Body body) {
    store_.reset();
    const pid_t child = fork();
    if (child == 0) {
      Reopen();
      body();
      _exit(HasFailure() ? 1 : 0);
    }
    return child;
  }

  std::unique_ptr<Connection> Connect() {
    auto db = Connection::Open(path_, Connection::Mode::kReadWrite, 1000);
    ALLO_CHECK(db.ok()) << db.status();
    return *std::move(db);
  }
};

TEST_F(DurabilityTest, WhatWasAcknowledgedIsThereAfterAKill) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  int acks[2];
  ASSERT_EQ(pipe(acks), 0);
  const pid_t child = Fork([&] {
    Spool spool(attempt.lease);
    for (int step = 1;; ++step) {
      store_->Append(spool.Batch({spool.Point(step, "train", step)}),
                     [&](absl::StatusOr<v1::RecordAck> ack) {
                       const uint64_t durable = ack.ok() ? ack->durable_sequence() : 0;
                       if (write(acks[1], &durable, sizeof(durable)) != sizeof(durable)) _exit(2);
                     });
      if (step % 8 == 0) {
        ASSERT_OK(store_->AddEvent(0, 0, "a commit of its own"));
      }
    }
  });
  close(acks[1]);
  uint64_t acknowledged = 0;
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(read(acks[0], &acknowledged, sizeof(acknowledged)),
              static_cast<ssize_t>(sizeof(acknowledged)));
  }
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  // What the child could still say between the last read and its death counts as acknowledged.
  while (read(acks[0], &acknowledged, sizeof(acknowledged)) ==
         static_cast<ssize_t>(sizeof(acknowledged))) {
  }
  close(acks[0]);

  Reopen();
  ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
  EXPECT_GE(row.attempt->durable_sequence, acknowledged);
  ASSERT_OK_AND_ASSIGN(const std::vector<CurvePoint> curve, store_->Curve(1, "train"));
  EXPECT_EQ(curve.size(), row.attempt->durable_sequence) << "no half of a commit";
  EXPECT_THAT(Sql("PRAGMA integrity_check"), ElementsAre("ok"));
}

TEST_F(DurabilityTest, ASecondCoordinatorOnTheFileIsRefusedByASentence) {
  EXPECT_THAT(Store::Open(path_, options_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("another coordinator uses this database (process ",
                                              getpid(), ")"))));
  store_.reset();
  EXPECT_OK(Store::Open(path_, options_));
}

TEST_F(DurabilityTest, ALockOfAKilledCoordinatorIsGone) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = Fork([&] {
    char byte = 0;
    if (write(ready[1], &byte, 1) != 1) _exit(2);
    pause();
  });
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THAT(Store::Open(path_, options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(absl::StrCat(child))));
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  close(ready[0]);
  close(ready[1]);
  EXPECT_OK(Store::Open(path_, options_));
}

TEST_F(DurabilityTest, ALimitOnTheFileRefusesWritesAndLosesNothing) {
  SubmitAndRegister();
  const Attempt attempt = Start();
  const pid_t child = Fork([&] {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit;
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1 << 20;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    Spool spool(attempt.lease);
    uint64_t acknowledged = 0;
    absl::Status status;
    v1::RecordBatch batch;
    for (int step = 0; status.ok() && step < 1'000'000; step += 100) {
      std::vector<v1::Record> records;
      for (int i = 1; i <= 100; ++i) records.push_back(spool.Point(step + i, "train", i));
      batch = spool.Batch(records);
      auto ack = testing::AppendAndWait(*store_, batch);
      status = ack.status();
      if (ack.ok()) acknowledged = ack->durable_sequence();
    }
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("make room")));
    EXPECT_GT(acknowledged, 0u);
    EXPECT_THAT(store_->AddEvent(0, 0, std::string(2 << 20, 'x')),
                StatusIs(absl::StatusCode::kResourceExhausted));
    ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
    EXPECT_EQ(row.attempt->durable_sequence, acknowledged);

    limit.rlim_cur = before;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_EQ(Append(batch).durable_sequence(), acknowledged + 100) << "room again: it goes on";
  });
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  Reopen();
  EXPECT_THAT(Sql("PRAGMA integrity_check"), ElementsAre("ok"));
}

TEST_F(DurabilityTest, AFullDiskRefusesWritesAndLosesNothing) {
  store_.reset();
  const pid_t child = fork();
  if (child == 0) {
    if (!allometry::testing::MountSmallDisk(folder_)) _exit(77);
    [&] {
      Reopen();
      SubmitAndRegister();
      Spool spool(Start().lease);
      const auto more = [&] {
        std::vector<v1::Record> records;
        for (int i = 0; i < 100; ++i) {
          records.push_back(spool.Point(static_cast<int64_t>(spool.sequence()) + 1, "train", i));
        }
        return spool.Batch(records);
      };
      v1::RecordBatch batch = more();
      uint64_t acknowledged = 0;
      absl::StatusOr<v1::RecordAck> ack = testing::AppendAndWait(*store_, batch);
      while (ack.ok()) {
        acknowledged = ack->durable_sequence();
        batch = more();
        ack = testing::AppendAndWait(*store_, batch);
      }
      EXPECT_THAT(ack, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("make room")));
      EXPECT_GT(acknowledged, 0u);
      ASSERT_OK_AND_ASSIGN(const RunRow row, store_->GetRun(1));
      EXPECT_EQ(row.attempt->durable_sequence, acknowledged);
      ASSERT_TRUE(allometry::testing::ResizeSmallDisk(folder_, "16m"));
      EXPECT_EQ(Append(batch).durable_sequence(), acknowledged + 100) << "room again: it goes on";
      EXPECT_THAT(Sql("PRAGMA integrity_check"), ElementsAre("ok"));
    }();
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << allometry::testing::kNoSmallDisk;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(DurabilityTest, AFileThatAnotherProgramHoldsIsUnavailableUntilItLetsGo) {
  options_.busy_timeout_ms = 50;
  Reopen();
  const std::unique_ptr<Connection> other = Connect();
  ASSERT_OK(other->Execute("BEGIN IMMEDIATE"));
  EXPECT_THAT(store_->AddEvent(0, 0, "refused"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("locked by another program")));
  EXPECT_OK(store_->ListSweeps()) << "readers do not wait for a writer";
  ASSERT_OK(other->Execute("COMMIT"));
  EXPECT_OK(store_->AddEvent(0, 0, "taken"));
  EXPECT_THAT(Sql("SELECT text FROM events"), ElementsAre("taken"));
}

TEST_F(DurabilityTest, ANewerSchemaIsRefusedAndLeftAlone) {
  store_.reset();
  ASSERT_OK(Connect()->Execute("PRAGMA user_version = 99"));
  EXPECT_THAT(Store::Open(path_, options_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("version 99, this program knows versions up to ",
                                              Migrations().size()))));
  EXPECT_THAT(Connect()->QueryInt("PRAGMA user_version"), testing::IsOkAndHolds(99));
}

TEST_F(DurabilityTest, AnotherProgramsDatabaseIsRefused) {
  store_.reset();
  std::filesystem::remove(path_);
  ASSERT_OK(Connect()->Execute("CREATE TABLE bookmarks (url TEXT)"));
  EXPECT_THAT(Store::Open(path_, options_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                     HasSubstr("not a database of Allometry")));
}

TEST_F(DurabilityTest, ADamagedPageIsDataLossAndNotACrash) {
  SubmitAndRegister();
  for (int i = 0; i < 200; ++i) ASSERT_OK(store_->AddEvent(0, 0, std::string(300, 'e')));
  store_.reset();
  const int fd = open(path_.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  const std::string garbage(4096, '\x5a');
  const auto size = static_cast<off_t>(std::filesystem::file_size(path_));
  // The schema's first page stays, so that opening works and reading finds the damage.
  for (off_t page = 8 * 4096; page < size; page += 4096) {
    ASSERT_EQ(pwrite(fd, garbage.data(), garbage.size(), page), 4096);
  }
  close(fd);
  auto store = Store::Open(path_, options_);
  if (!store.ok()) {
    EXPECT_THAT(store, StatusIs(absl::StatusCode::kDataLoss));
    return;
  }
  EXPECT_THAT((*store)->EventsAfter(0, 0, 1000), StatusIs(absl::StatusCode::kDataLoss));
}

// The schema has one version so far, so the path from an older one is tested on a small history.
constexpr const char* kHistory[] = {
    "CREATE TABLE fruit (name TEXT) STRICT; INSERT INTO fruit VALUES ('apple')",
    "ALTER TABLE fruit ADD COLUMN weight REAL; UPDATE fruit SET weight = 0.15",
    "CREATE TABLE baskets (name TEXT) STRICT; INSERT INTO no_such_table VALUES (1)",
};

TEST_F(DurabilityTest, AnOlderSchemaIsMigratedBesideABackup) {
  store_.reset();
  std::filesystem::remove(path_);
  const auto history = absl::MakeConstSpan(kHistory);
  ASSERT_OK(Migrate(*Connect(), history.subspan(0, 1)));
  ASSERT_OK(Migrate(*Connect(), history.subspan(0, 2)));
  EXPECT_THAT(Sql("SELECT name, weight FROM fruit"), ElementsAre("apple|0.15"));
  EXPECT_THAT(Connect()->QueryInt("PRAGMA user_version"), testing::IsOkAndHolds(2));
  auto backup = Connection::Open(path_ + ".v1.backup", Connection::Mode::kReadOnly, 1000);
  ASSERT_OK(backup);
  EXPECT_THAT((*backup)->QueryInt("PRAGMA user_version"), testing::IsOkAndHolds(1));
  EXPECT_THAT((*backup)->QueryInt("SELECT count(*) FROM fruit"), testing::IsOkAndHolds(1));
}

TEST_F(DurabilityTest, AMigrationThatFailsLeavesTheOldVersion) {
  store_.reset();
  std::filesystem::remove(path_);
  const auto history = absl::MakeConstSpan(kHistory);
  ASSERT_OK(Migrate(*Connect(), history.subspan(0, 2)));
  EXPECT_THAT(Migrate(*Connect(), history),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("to schema version 3")));
  EXPECT_THAT(Connect()->QueryInt("PRAGMA user_version"), testing::IsOkAndHolds(2));
  EXPECT_THAT(Sql("SELECT name FROM sqlite_schema"), ElementsAre("fruit"));
}

}  // namespace
}  // namespace allometry::store
