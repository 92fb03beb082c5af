#include "worker/trainer/lease_watch.h"

#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::trainer {
namespace {

class FakeClock final : public Clock {
 public:
  int64_t UnixMicros() const override { return 0; }
  int64_t BootNanos() const override { return now_ns; }
  std::atomic<int64_t> now_ns = 1'000'000'000'000;
};

class LeaseWatchTest : public ::testing::Test {
 protected:
  LeaseWatchTest() {
    ALLO_CHECK(pipe(pipe_) == 0);
    watch_ = std::make_unique<LeaseWatch>(pipe_[0], clock_, "here",
                                          [this](const std::string& why) { lost_.set_value(why); });
  }
  ~LeaseWatchTest() override {
    watch_.reset();
    close(pipe_[0]);
    CloseWriter();
  }
  void Say(const std::string& text) {
    ALLO_CHECK(write(pipe_[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void CloseWriter() {
    if (pipe_[1] >= 0) close(pipe_[1]);
    pipe_[1] = -1;
  }
  void Lease(int64_t asked_ns, int64_t deadline_ns) { Lease("here", asked_ns, deadline_ns, 0); }
  void Lease(const std::string& boot_id, int64_t asked_ns, int64_t deadline_ns, int64_t left_ms) {
    const int64_t before = watch_->leases();
    Say(absl::StrCat("lease ", boot_id, " ", asked_ns, " ", deadline_ns, " ", left_ms, "\n"));
    while (watch_->leases() == before) std::this_thread::yield();
  }
  void WaitFor(LeaseCommand command) {
    while (watch_->command() != command) std::this_thread::yield();
  }

  FakeClock clock_;
  int pipe_[2];
  std::promise<std::string> lost_;
  std::unique_ptr<LeaseWatch> watch_;
};

TEST_F(LeaseWatchTest, EndOfFileLosesTheLease) {
  CloseWriter();
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("standard input closed"));
}

TEST_F(LeaseWatchTest, PassedDeadlineLosesTheLease) {
  Lease(clock_.now_ns, clock_.now_ns + 30);
  clock_.now_ns += 30;
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("deadline passed"));
}

TEST_F(LeaseWatchTest, RenewalMovesTheDeadline) {
  const int64_t start = clock_.now_ns;
  Lease(start, start + 1'000'000'000'000);
  Lease(start + 10, start + 2'000'000'000'000);
  clock_.now_ns = start + 1'500'000'000'000;
  // The watch answers again after it has seen the new time: it did not end.
  Say("preempt\n");
  WaitFor(LeaseCommand::kPreempt);
  clock_.now_ns = start + 2'000'000'000'000;
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("deadline passed"));
}

TEST_F(LeaseWatchTest, FirstLeaseMustComeInTime) {
  clock_.now_ns += int64_t{LeaseWatch::kFirstLeaseS} * 1'000'000'000;
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("deadline passed"));
}

TEST_F(LeaseWatchTest, CheckpointIsDueAtTwoThirdsUntilTheRenewal) {
  const int64_t start = clock_.now_ns;
  Lease(start, start + 300'000'000'000);
  clock_.now_ns = start + 199'999'999'999;
  EXPECT_FALSE(watch_->CheckpointDue());
  clock_.now_ns = start + 200'000'000'000;
  EXPECT_TRUE(watch_->CheckpointDue());
  Lease(start + 190'000'000'000, start + 490'000'000'000);
  EXPECT_FALSE(watch_->CheckpointDue());
}

TEST_F(LeaseWatchTest, LinesMayComeInPiecesAndNonsenseIsIgnored) {
  const int64_t start = clock_.now_ns;
  Say("lea");
  Say(absl::StrCat("se here ", start, " ", start + 1'000'000'000,
                   " 1000\nlease here 5 3 0\nlease here x y 0\nlease 5 7\n\npre"));
  Say("empt now\ncan");
  Say("cel\n");
  WaitFor(LeaseCommand::kCancel);
  EXPECT_EQ(watch_->leases(), 1);
}

constexpr int64_t kS = 1'000'000'000;

// The other machine booted 1000 s after this one, or before it: its numbers mean nothing here.
TEST_F(LeaseWatchTest, ALeaseOfAnotherMachineCountsFromItsReceipt) {
  const int64_t start = clock_.now_ns;
  for (const int64_t there : {start - 1000 * kS, start + 1000 * kS}) {
    SCOPED_TRACE(there);
    Lease("there", there, there + 30 * kS, 30'000);
    EXPECT_FALSE(watch_->CheckpointDue());
    clock_.now_ns = start + 20 * kS;
    EXPECT_TRUE(watch_->CheckpointDue());
    clock_.now_ns = start;
  }
  clock_.now_ns = start + 30 * kS;
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("deadline passed"));
}

// Written when 30 s were left, and 25 s on the way.
TEST_F(LeaseWatchTest, ALateLineGivesNoMoreThanWasLeftOfIt) {
  const int64_t start = clock_.now_ns;
  const int64_t there = 7 * kS;
  Lease("there", there, there + 30 * kS, 30'000);
  clock_.now_ns = start + 26 * kS;
  Lease("there", there + kS, there + 31 * kS, 30'000);
  clock_.now_ns = start + 31 * kS + kS / 10;
  EXPECT_THAT(lost_.get_future().get(), ::testing::HasSubstr("deadline passed"));
}

TEST_F(LeaseWatchTest, StopsWithoutACall) {
  watch_.reset();
  CloseWriter();
  EXPECT_EQ(lost_.get_future().wait_for(std::chrono::milliseconds(300)),
            std::future_status::timeout);
}

}  // namespace
}  // namespace allometry::trainer
