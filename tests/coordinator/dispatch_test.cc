// Dispatch without gRPC, over a real store, from many threads: what ThreadSanitizer can see.
#include "coordinator/leases/dispatch.h"

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/stages/submission.h"
#include "coordinator/store/change_feed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/chaos_agent.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/append_and_wait.h"
#include "tests/testing/eventually.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

constexpr int64_t kLeaseMs = 3000;

class DispatchTest : public ::testing::Test {
 protected:
  DispatchTest() : dispatch_({kLeaseMs, /*heartbeat_ms=*/20, &clock_}, feed_) {
    store::Options options;
    options.committed = [this](absl::Span<const store::RunRow> rows) { dispatch_.Committed(rows); };
    options.clock = &clock_;
    auto store = store::Store::Open(folder_.Path("allometry.db"), options);
    EXPECT_THAT(store, IsOk());
    store_ = *std::move(store);
    EXPECT_THAT(dispatch_.Start(*store_), IsOk());
  }
  ~DispatchTest() override {
    dispatch_.Stop();
    store_.reset();
  }

  TemporaryFolder folder_;
  FakeClock clock_;
  coordinator::ChangeFeed feed_;
  coordinator::Dispatch dispatch_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(DispatchTest, EveryRunEndsOnceUnderAgentsThatComeAndGo) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse created,
                       coordinator::CreateSweep(*store_, Request({.sizes = "[5k, 10k, 20k]",
                                                                  .seeds = "[1, 2, 3, 4, 5]"})));
  ASSERT_EQ(created.runs_size(), 15);
  std::atomic<bool> over = false;
  std::atomic<int> devices_given_twice = 0;
  std::atomic<int> wrong = 0;
  CoordinatorCalls calls;
  calls.enroll = [this](const v1::RegisterRequest& request) { return dispatch_.Register(request); };
  calls.heartbeat = [this](const v1::HeartbeatRequest& request) {
    return dispatch_.Heartbeat(request);
  };
  calls.append = [&](const v1::RecordBatch& batch) {
    absl::StatusOr<v1::RecordAck> ack = AppendAndWait(dispatch_, batch);
    if (!ack.ok()) ++wrong;
    return ack;
  };

  // Each has a network of its own; time and the coordinator are shared.
  const auto play = [&](int number) {
    std::mt19937_64 random(static_cast<uint64_t>(number));
    UnreliableNetwork network(random);
    ChaosAgent agent(absl::StrCat("host-", number), 2, TinyDataset(), calls, network, clock_,
                     random);
    while (!over.load()) {
      clock_.AdvanceMs(2);
      network.Step();
      agent.Step();
      if (random() % 100 == 0) agent.Crash();
      if (random() % 400 == 0) clock_.AdvanceMs(kLeaseMs + 1);
    }
    devices_given_twice += agent.devices_given_twice();
  };
  std::vector<std::thread> agents;
  for (int i = 0; i < 4; ++i) agents.emplace_back(play, i);
  // A watcher and a reader beside them.
  agents.emplace_back([&] {
    uint64_t seen = 0;
    while (!over.load()) {
      seen = feed_.WaitBeyond(seen, std::chrono::milliseconds(20));
      auto sweep = store_->GetSweep("tiny");
      if (!sweep.ok()) {
        ++wrong;
        continue;
      }
      google::protobuf::RepeatedPtrField<v1::Run> runs(sweep->runs.begin(), sweep->runs.end());
      dispatch_.AddReasons(runs);
      (void)dispatch_.EtaSeconds(runs, run::FlopsConvention::k6nd);
    }
  });
  const bool ended = testing::Eventually([&] {
    const auto sweep = store_->GetSweep("tiny");
    EXPECT_OK(sweep);
    return !sweep.ok() || sweep->sweep.runs_succeeded() + sweep->sweep.runs_failed() == 15;
  });
  over = true;
  for (std::thread& agent : agents) agent.join();
  EXPECT_TRUE(ended);
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(devices_given_twice.load(), 0);

  ASSERT_OK_AND_ASSIGN(const store::StoredSweep sweep, store_->GetSweep("tiny"));
  for (const v1::Run& run : sweep.runs) {
    if (run.state() == v1::RUN_FAILED) {
      EXPECT_EQ(run.failure(), v1::NODE_LOST) << "too many leases lost in a row";
      continue;
    }
    // Every evaluation is there once.
    ASSERT_OK_AND_ASSIGN(const auto curve, store_->Curve(run.run_id(), "heldout"));
    std::vector<int64_t> steps;
    for (const store::CurvePoint& point : curve) steps.push_back(point.step);
    EXPECT_EQ(steps, std::vector<int64_t>(run.spec().evaluation_steps().begin(),
                                          run.spec().evaluation_steps().end()));
  }
}

}  // namespace
}  // namespace allometry::testing
