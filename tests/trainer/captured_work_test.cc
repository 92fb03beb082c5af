// When an update is enqueued as it is, captured, replayed; after which updates its report is read.
#include "worker/trainer/captured_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/testing/status_matchers.h"
#include "worker/trainer/read_steps.h"

namespace allometry::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As a CUDA graph: what is enqueued between Begin and End is not done before Replay.
struct Device {
  std::vector<std::string> calls;
  int done = 0;  // updates
  bool recording = false;
  absl::Status begin, end;
};

class FakeRecorder final : public GraphRecorder {
 public:
  explicit FakeRecorder(Device* device) : device_(device) {}
  absl::Status Begin() override {
    device_->calls.push_back("begin");
    device_->recording = device_->begin.ok();
    return device_->begin;
  }
  absl::Status End() override {
    device_->calls.push_back("end");
    device_->recording = false;
    return device_->end;
  }
  absl::Status Replay() override {
    device_->calls.push_back("replay");
    ++device_->done;
    return absl::OkStatus();
  }

 private:
  Device* const device_;
};

class CapturedWorkTest : public ::testing::Test {
 protected:
  // Runs so many updates; each must be done exactly once.
  void Run(CapturedWork& work, int updates) {
    for (int i = 0; i < updates; ++i) {
      const int before = device_.done;
      ASSERT_THAT(work.Run([this] { return Enqueue(); }), testing::IsOk());
      ASSERT_EQ(device_.done, before + 1) << "update " << i + 1;
    }
  }
  absl::Status Enqueue() {
    device_.calls.push_back(device_.recording ? "recorded" : "enqueued");
    if (device_.recording && throws_) throw std::runtime_error("cudaErrorStreamCaptureUnsupported");
    if (device_.recording) return fails_;
    ++device_.done;
    return absl::OkStatus();
  }
  CapturedWork Work() {
    return CapturedWork(std::make_unique<FakeRecorder>(&device_),
                        [this](std::string why) { said_.push_back(why); });
  }

  Device device_;
  bool throws_ = false;
  absl::Status fails_;
  std::vector<std::string> said_;
};

TEST_F(CapturedWorkTest, IsEnqueuedThreeTimesThenCapturedOnceThenReplayed) {
  CapturedWork work = Work();
  Run(work, 6);
  EXPECT_THAT(device_.calls, ElementsAre("enqueued", "enqueued", "enqueued", "begin", "recorded",
                                         "end", "replay", "replay", "replay"));
  EXPECT_TRUE(work.captured());
  EXPECT_THAT(said_, ElementsAre());
}

TEST_F(CapturedWorkTest, WithoutARecorderNothingIsCaptured) {
  CapturedWork work(nullptr, [this](std::string why) { said_.push_back(why); });
  Run(work, 10);
  EXPECT_EQ(device_.calls, std::vector<std::string>(10, "enqueued"));
  EXPECT_THAT(said_, ElementsAre());
}

TEST_F(CapturedWorkTest, WhatCannotBeCapturedIsEnqueuedForGoodAndSaidOnce) {
  for (int fault = 0; fault < 4; ++fault) {
    device_ = Device();
    said_.clear();
    device_.begin = fault == 0 ? absl::InternalError("no begin") : absl::OkStatus();
    device_.end = fault == 1 ? absl::InternalError("no end") : absl::OkStatus();
    throws_ = fault == 2;
    fails_ = fault == 3 ? absl::InternalError("no work") : absl::OkStatus();
    CapturedWork work = Work();
    Run(work, 8);
    EXPECT_FALSE(work.captured()) << fault;
    EXPECT_FALSE(device_.recording) << fault;
    ASSERT_EQ(said_.size(), 1u) << fault;
    EXPECT_THAT(said_[0], HasSubstr("not captured as a graph"));
  }
}

TEST_F(CapturedWorkTest, ALostRankEndsTheRunEvenWhileCapturing) {
  fails_ = absl::AbortedError("no answer from other ranks");
  CapturedWork work = Work();
  Run(work, CapturedWork::kWarmUps);
  EXPECT_EQ(work.Run([this] { return Enqueue(); }).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(device_.done, CapturedWork::kWarmUps);
}

TEST(ReadStepsTest, OnACpuEveryReportIsRead) {
  run::RunSpec spec;
  spec.steps = 100;
  for (int64_t step = 1; step <= 100; ++step) EXPECT_TRUE(ReadsAfter(spec, step));
}

TEST(ReadStepsTest, OnAGpuWhereSomethingIsDoneWithItAndElseEveryEighth) {
  run::RunSpec spec;
  spec.device = run::DeviceKind::kCuda;
  spec.steps = 45;
  spec.log_every = 10;
  spec.evaluation_steps = {1, 13, 45};
  spec.checkpoint_steps = {27};
  std::vector<int64_t> read;
  for (int64_t step = 1; step <= spec.steps; ++step) {
    if (ReadsAfter(spec, step)) read.push_back(step);
  }
  EXPECT_THAT(read, ElementsAre(1, 8, 10, 13, 16, 20, 24, 27, 30, 32, 40, 45));
}

}  // namespace
}  // namespace allometry::trainer
