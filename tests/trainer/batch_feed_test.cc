// worker/trainer/batch_feed_cuda.cc on a stand-in for the CUDA runtime: who waits for whom.
#include "worker/trainer/batch_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "tests/testing/cuda_standin.h"
#include "tests/testing/status_matchers.h"

namespace allometry::trainer {
namespace {

using ::testing::HasSubstr;

absl::Status Poll(const std::function<absl::StatusOr<bool>()>& done) {
  for (;;) {
    ALLO_ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    std::this_thread::yield();
  }
}

struct HostBatch {
  std::vector<int32_t> inputs, targets;
  std::vector<uint8_t> images;
  models::Batch batch() const {
    models::Batch batch;
    batch.sequences = 4;
    batch.context = 50;
    batch.inputs = inputs;
    batch.targets = targets;
    batch.images = images;
    return batch;
  }
};

void Fill(HostBatch& batch, int update, bool images) {
  batch.inputs.assign(200, update);
  batch.targets.assign(200, -update);
  batch.images.assign(images ? 1000 : 0, static_cast<uint8_t>(update));
}

// Each update reads the place late and slowly; the host overwrites its batch at once.
TEST(CudaFeedTest, EveryUpdateSeesItsOwnBatchHoweverSlowCopiesAre) {
  for (const bool images : {false, true}) {
    for (const int slow_us : {0, 300}) {
      StandinSlowCopies(slow_us);
      cudaStream_t updates = nullptr;
      ASSERT_EQ(cudaStreamCreateWithFlags(&updates, cudaStreamNonBlocking), cudaSuccess);
      const auto feed = CreateCudaFeed(updates, Poll);
      constexpr int kUpdates = 200;
      std::atomic<int> wrong = 0, done = 0;
      HostBatch host;
      for (int update = 1; update <= kUpdates; ++update) {
        Fill(host, update, images);
        const auto fed = feed->Push(host.batch(), {.step = 1.0 * update, .rate = 0.5 * update});
        ASSERT_THAT(fed, testing::IsOk());
        StandinEnqueue(updates, [fed = *fed, update, images, slow_us, &wrong, &done] {
          const auto check = [&] {
            bool right = fed.inputs->step == update && fed.inputs->rate == 0.5 * update;
            for (int i = 0; i < 200; ++i) right &= fed.batch.device_inputs[i] == update;
            for (int i = 0; i < 200; ++i) right &= fed.batch.device_targets[i] == -update;
            for (int i = 0; images && i < 1000; ++i) {
              right &= fed.batch.device_images[i] == static_cast<uint8_t>(update);
            }
            wrong += right ? 0 : 1;
          };
          check();
          if (slow_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
          check();
          ++done;
        });
        // The host waits for the copy of two updates ago, which waited until the update two before
        // it had taken its own, which was after the one before that.
        EXPECT_GE(done, update - 5);
        EXPECT_EQ(fed->batch.device_images != nullptr, images);
      }
      StandinWait(updates);
      EXPECT_EQ(wrong, 0) << "copies of up to " << slow_us << " us";
      EXPECT_EQ(done, kUpdates);
    }
  }
  StandinSlowCopies(0);
}

// A captured update (captured_work.h) reads the same addresses every time.
TEST(CudaFeedTest, ThePlaceIsTheSameForEveryUpdate) {
  const auto feed = CreateCudaFeed(nullptr, Poll);
  HostBatch host;
  Fill(host, 1, true);
  const auto first = feed->Push(host.batch(), {});
  ASSERT_THAT(first, testing::IsOk());
  for (int update = 2; update < 6; ++update) {
    const auto fed = feed->Push(host.batch(), {});
    ASSERT_THAT(fed, testing::IsOk());
    EXPECT_EQ(fed->inputs, first->inputs);
    EXPECT_EQ(fed->batch.device_inputs, first->batch.device_inputs);
    EXPECT_EQ(fed->batch.device_targets, first->batch.device_targets);
    EXPECT_EQ(fed->batch.device_images, first->batch.device_images);
  }
  StandinWait(nullptr);
}

// A lost rank holds the updates' stream up for ever; the feed must not wait for it without a limit.
TEST(CudaFeedTest, AStreamThatStandsStillIsWaitedForThroughTheCollective) {
  cudaStream_t updates = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&updates, cudaStreamNonBlocking), cudaSuccess);
  std::atomic<bool> go_on = false;
  StandinEnqueue(updates, [&] {
    while (!go_on) std::this_thread::yield();
  });
  int asked = 0;
  const auto feed = CreateCudaFeed(updates, [&](const std::function<absl::StatusOr<bool>()>& done) {
    for (int i = 0; i < 100; ++i) {
      ALLO_ASSIGN_OR_RETURN(const bool is_done, done());
      if (is_done) return absl::OkStatus();
      ++asked;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return absl::AbortedError("no answer from other ranks");
  });
  HostBatch host;
  Fill(host, 1, false);
  absl::Status status;
  int pushed = 0;
  while (status.ok() && pushed < 10) {
    status = feed->Push(host.batch(), {}).status();
    if (status.ok()) ++pushed;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  EXPECT_GE(pushed, 2);
  EXPECT_LE(pushed, 4);
  EXPECT_GE(asked, 100);
  go_on = true;
  StandinWait(updates);
}

TEST(CudaFeedTest, MemoryThatIsNotThereIsSaid) {
  for (const char* call : {"malloc@0", "host_alloc@0"}) {
    setenv("STANDIN_FAIL", call, 1);
    HostBatch host;
    Fill(host, 1, false);
    const absl::Status status = CreateCudaFeed(nullptr, Poll)->Push(host.batch(), {}).status();
    unsetenv("STANDIN_FAIL");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << call;
    EXPECT_THAT(std::string(status.message()), HasSubstr("out of memory"));
  }
}

TEST(HostFeedTest, HandsOnWhatItGets) {
  const auto feed = CreateHostFeed();
  HostBatch host;
  Fill(host, 3, false);
  const auto fed = feed->Push(host.batch(), {.step = 3, .rate = 0.5, .command = 2});
  ASSERT_THAT(fed, testing::IsOk());
  EXPECT_EQ(fed->batch.inputs.data(), host.inputs.data());
  EXPECT_EQ(fed->batch.device_inputs, nullptr);
  EXPECT_EQ(fed->inputs->command, 2);
}

}  // namespace
}  // namespace allometry::trainer
