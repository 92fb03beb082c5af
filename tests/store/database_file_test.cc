// The file behind an open database: one owner, and acknowledged only while it is where it was.
#include "coordinator/store/database_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/files.h"
#include "tests/store/store_fixture.h"
#include "tests/testing/eventually.h"

namespace allometry::store {
namespace {

namespace fs = std::filesystem;
using allometry::testing::IsOk;
using allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DatabaseFileTest : public StoreFixture {
 protected:
  // Opens the store again with a callback that notes the sentence.
  void Serve() {
    options_.lost = [this](const absl::Status& status) {
      sentence_ = std::string(status.message());
      lost_ = true;
    };
    Reopen();
    ASSERT_OK(store_->AddEvent(0, 0, "first"));
  }

  // Nothing is acknowledged after `harm`, and without any write the store says so by itself.
  void ExpectLostAfter(const std::function<void()>& harm, const std::string& says) {
    Serve();
    harm();
    EXPECT_THAT(store_->AddEvent(0, 0, "into nothing"),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr(says)));
    EXPECT_TRUE(lost_);
    EXPECT_THAT(sentence_, AllOf(HasSubstr(says), HasSubstr("while it was served"),
                                 HasSubstr("nothing is acknowledged")));
    EXPECT_THAT(store_->AddEvent(0, 0, "again"), StatusIs(absl::StatusCode::kUnavailable));
    const auto ignore = [](absl::string_view) { return true; };
    EXPECT_THAT(store_->Backup(ignore), ::testing::Not(IsOk()));
    store_.reset();
  }

  // A process that has the database open until the test ends it.
  pid_t ForkOwner() {
    store_.reset();
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      Reopen();
      if (!store_->AddEvent(0, 0, "from the owner").ok() || write(ready[1], "x", 1) != 1) _exit(2);
      pause();
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
  }
  static void Kill(pid_t child) {
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }

  std::vector<std::string> Events(const std::string& path) {
    auto store = Store::Open(path, options_);
    EXPECT_OK(store);
    if (!store.ok()) return {};
    std::vector<std::string> texts;
    const auto events = (*store)->EventsAfter(0, 0, 100);
    EXPECT_OK(events);
    for (const Event& event : *events) texts.push_back(event.text);
    return texts;
  }

  std::string sentence_;
  std::atomic<bool> lost_ = false;
};

TEST_F(DatabaseFileTest, ARemovedFileIsNoticedAndItsContentsAreSaved) {
  ExpectLostAfter([&] { fs::remove(path_); }, "was removed");
  EXPECT_THAT(sentence_, HasSubstr(path_ + ".saved-1"));
  fs::remove(path_ + "-wal");
  fs::remove(path_ + "-shm");
  EXPECT_THAT(Events(path_ + ".saved-1"), Contains("first"));
  auto saved = Store::Open(path_ + ".saved-1", options_);
  ASSERT_OK(saved);
  EXPECT_THAT((*saved)->missing_log(), IsEmpty());
}

TEST_F(DatabaseFileTest, AMovedFileIsNoticedAndHoldsAll) {
  ExpectLostAfter([&] { fs::rename(path_, folder_ + "/moved.db"); }, "moved away");
  EXPECT_THAT(sentence_, HasSubstr("move it back"));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_THAT(Events(folder_ + "/moved.db"), Contains("first"));
}

TEST_F(DatabaseFileTest, AFileThatIsReplacedIsNoticedAndTheNewOneIsLeftAlone) {
  ASSERT_OK(store_->AddEvent(0, 0, "of the copy"));
  store_.reset();
  fs::copy_file(path_, folder_ + "/copy.db");
  const std::string copy = ReadFile(folder_ + "/copy.db").value();
  ExpectLostAfter([&] { fs::rename(folder_ + "/copy.db", path_); }, "was replaced by another file");
  EXPECT_TRUE(ReadFile(path_).value() == copy) << "nothing is written into what is not ours";
}

TEST_F(DatabaseFileTest, AFileThatIsWrittenOverInPlaceIsNoticed) {
  ASSERT_OK(store_->AddEvent(0, 0, "of the copy"));
  store_.reset();
  const std::string copy = ReadFile(path_).value();
  const auto overwrite = [&] {
    // Not while the log is copied: what is copied at that very moment goes into any file.
    ASSERT_TRUE(
        testing::Eventually([&] { return ReadFile(path_)->find("first") != std::string::npos; }));
    const int fd = open(path_.c_str(), O_WRONLY | O_TRUNC);
    ASSERT_EQ(write(fd, copy.data(), copy.size()), static_cast<ssize_t>(copy.size()));
    close(fd);
  };
  ExpectLostAfter(overwrite, "was written over");
  EXPECT_TRUE(ReadFile(path_).value() == copy);
  // Its log is of what was served, and may not be read into the copy.
  EXPECT_THAT(Store::Open(path_, options_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("the log beside it"), HasSubstr(path_ + "-wal"))));
  fs::remove(path_ + "-wal");
  fs::remove(path_ + "-shm");
  EXPECT_THAT(Events(path_), ElementsAre("of the copy"));
}

TEST_F(DatabaseFileTest, AnEmptiedFileIsNoticed) {
  ExpectLostAfter([&] { ASSERT_EQ(truncate(path_.c_str(), 0), 0); }, "was written over");
}

TEST_F(DatabaseFileTest, ARemovedLogIsNoticedAndNothingOfItIsLost) {
  for (const char* suffix : {"-wal", "-shm"}) {
    ExpectLostAfter([&] { fs::remove(path_ + suffix); }, path_ + suffix + " was removed");
    EXPECT_THAT(sentence_, HasSubstr("start again"));
    lost_ = false;
    EXPECT_THAT(Events(path_), Contains("first"));
  }
}

TEST_F(DatabaseFileTest, AnIdleStoreNoticesByItself) {
  Serve();
  fs::remove(path_);
  EXPECT_TRUE(testing::Eventually([&] { return lost_.load(); }));
}

// Copying the log into the file changes it, and so does another program's checkpoint.
TEST_F(DatabaseFileTest, WhatThisStoreOrSqliteWritesIntoTheFileIsNoHarm) {
  Serve();
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(store_->AddEvent(0, 0, std::string(3000, 'e')));
    if (i % 10 == 0) Sql("PRAGMA wal_checkpoint(PASSIVE)");
  }
  EXPECT_FALSE(lost_) << sentence_;
}

TEST_F(DatabaseFileTest, TheLogIsCopiedIntoTheFileWithinSeconds) {
  Serve();
  ASSERT_OK(store_->AddEvent(0, 0, "soon in the file"));
  EXPECT_TRUE(testing::Eventually(
      [&] { return ReadFile(path_)->find("soon in the file") != std::string::npos; }));
}

TEST_F(DatabaseFileTest, NoOtherNameOfTheFileLetsASecondOwnerIn) {
  fs::create_symlink(path_, folder_ + "/soft.db");
  const pid_t owner = ForkOwner();
  fs::create_hard_link(path_, folder_ + "/hard.db");
  fs::remove(path_ + ".lock");
  for (const std::string& name : {path_, folder_ + "/soft.db", folder_ + "/hard.db"}) {
    EXPECT_THAT(Store::Open(name, options_),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another coordinator")))
        << name;
  }
  Kill(owner);
  // Its log is beside the other name.
  EXPECT_THAT(Store::Open(folder_ + "/hard.db", options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("hard link")));
  EXPECT_THAT(Events(folder_ + "/soft.db"), ElementsAre("from the owner"));
}

// SQLite's own locks are dropped by whoever closes the file in its process.
TEST_F(DatabaseFileTest, ARefusedSecondOwnerInOneProcessLeavesTheLocksOfTheFirst) {
  EXPECT_THAT(Store::Open(path_, options_), StatusIs(absl::StatusCode::kFailedPrecondition));
  int status = 0;
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(path_.c_str(), O_RDWR);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_len = 1 << 30 | 1 << 29;  // SQLite's bytes
    const bool held = fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    _exit(held ? 0 : 1);
  }
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "SQLite holds no lock on its file any more";
}

TEST_F(DatabaseFileTest, WhatIsNoFileIsRefused) {
  fs::create_directory(folder_ + "/folder");
  ASSERT_EQ(mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  for (const std::string& name :
       {std::string(), std::string(":memory:"), std::string("file:x?mode=memory"),
        folder_ + "/folder", folder_ + "/fifo", std::string("/dev/null")}) {
    EXPECT_THAT(Store::Open(name, options_),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a file is needed")))
        << name;
  }
}

TEST_F(DatabaseFileTest, AnotherFileIsNotTouchedAndNotCalledDamaged) {
  for (const std::string& text : {std::string("to be or not to be\n"), std::string("x"),
                                  std::string(8192, 'x'), std::string("SQLite format 2")}) {
    const std::string path = folder_ + "/corpus.txt";
    ASSERT_OK(WriteFileAtomically(path, text));
    EXPECT_THAT(Store::Open(path, options_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                      HasSubstr("not a database of Allometry")));
    EXPECT_EQ(ReadFile(path).value(), text);
  }
}

TEST_F(DatabaseFileTest, AFileOfZerosIsDataLoss) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/zeros.db", std::string(8192, '\0')));
  EXPECT_THAT(Store::Open(folder_ + "/zeros.db", options_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("zeros")));
}

TEST_F(DatabaseFileTest, AMissingLogIsSaidAndAnOrderlyEndIsNot) {
  ASSERT_OK(store_->AddEvent(0, 0, "x"));
  Reopen();
  EXPECT_THAT(store_->missing_log(), IsEmpty());
  Kill(ForkOwner());
  fs::copy_file(path_, folder_ + "/alone.db");
  Reopen();
  EXPECT_THAT(store_->missing_log(), IsEmpty()) << "a kill is no loss";
  auto alone = Store::Open(folder_ + "/alone.db", options_);
  ASSERT_OK(alone);
  EXPECT_THAT((*alone)->missing_log(), AllOf(HasSubstr("alone.db-wal"), HasSubstr("is missing")));
}

TEST_F(DatabaseFileTest, ACopyByBackupIsComplete) {
  std::string bytes;
  ASSERT_OK(store_->Backup([&](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return true;
  }));
  ASSERT_OK(WriteFileAtomically(folder_ + "/copy.db", bytes));
  auto copy = Store::Open(folder_ + "/copy.db", options_);
  ASSERT_OK(copy);
  EXPECT_THAT((*copy)->missing_log(), IsEmpty());
}

TEST_F(DatabaseFileTest, ABackupPutBesideTheLogOfAKilledCoordinatorIsNotMixedWithIt) {
  std::string bytes;
  ASSERT_OK(store_->Backup([&](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return true;
  }));
  Kill(ForkOwner());
  ASSERT_OK(WriteFileAtomically(path_, bytes));
  EXPECT_THAT(Store::Open(path_, options_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the log beside it")));
  fs::remove(path_ + "-wal");
  EXPECT_OK(Store::Open(path_, options_));
}

TEST_F(DatabaseFileTest, ANewFileIsItsOwnersAlone) {
  struct stat info {};
  for (const char* suffix : {"", "-wal", "-shm"}) {
    ASSERT_EQ(stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

}  // namespace
}  // namespace allometry::store
