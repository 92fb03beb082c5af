// Dispatch without gRPC, over a real store, from many threads: what ThreadSanitizer can see.
#include "coordinator/leases/dispatch.h"

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/stages/submission.h"
#include "coordinator/store/change_feed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/records.h"
#include "tests/coordinator/tiny_sweep.h"
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

  absl::StatusOr<v1::RecordAck> Append(const v1::Lease& lease,
                                       const std::vector<v1::Record>& records) {
    v1::RecordBatch batch;
    *batch.mutable_lease() = lease;
    batch.mutable_records()->Add(records.begin(), records.end());
    Mutex mutex;
    ConditionVariable done;
    absl::StatusOr<v1::RecordAck> result;
    bool finished = false;
    dispatch_.Append(batch, [&](absl::StatusOr<v1::RecordAck> ack) {
      MutexLock lock(mutex);
      result = std::move(ack);
      finished = true;
      done.NotifyAll();
    });
    MutexLock lock(mutex);
    while (!finished) done.Wait(lock);
    return result;
  }

  TemporaryFolder folder_;
  FakeClock clock_;
  coordinator::ChangeFeed feed_;
  coordinator::Dispatch dispatch_;
  std::unique_ptr<store::Store> store_;
};

// An agent that now and then goes silent for longer than a lease, starts again with everything
// given back, fails its attempts, or forgets to list one.
class UnreliableAgent {
 public:
  UnreliableAgent(coordinator::Dispatch& dispatch, int number, int slots)
      : dispatch_(dispatch), name_("host-" + std::to_string(number)), random_(number) {
    for (int i = 0; i < slots; ++i) {
      v1::Slot slot;
      slot.set_host(name_);
      slot.set_device("cpu:" + std::to_string(i));
      slots_.push_back(slot);
    }
  }

  absl::Status Register() {
    v1::RegisterRequest request;
    request.set_agent_id(name_);
    request.set_host(name_);
    request.set_run_root_id("root-of-" + name_);
    request.mutable_slots()->Add(slots_.begin(), slots_.end());
    *request.add_datasets() = TinyDataset();
    for (const auto& [token, hold] : held_) {
      v1::GivenBack* given_back = request.add_given_back();
      *given_back->mutable_lease() = hold.lease();
      given_back->set_reason(v1::AGENT_LOST);
    }
    held_.clear();
    return dispatch_.Register(request).status();
  }

  absl::StatusOr<v1::HeartbeatResponse> Heartbeat() {
    v1::HeartbeatRequest request;
    request.set_agent_id(name_);
    *request.add_datasets() = TinyDataset();
    std::set<std::string> busy;
    for (const auto& [token, hold] : held_) {
      for (const v1::Slot& slot : hold.slots()) busy.insert(slot.device());
      *request.add_held()->mutable_lease() = hold.lease();
    }
    for (const v1::Slot& slot : slots_) {
      if (busy.count(slot.device()) == 0) *request.add_free_slots() = slot;
    }
    return dispatch_.Heartbeat(request);
  }

  // Takes up the reply; a device given to two attempts is counted.
  void TakeUp(const v1::HeartbeatResponse& reply) {
    std::map<std::string, v1::Hold> next;
    std::multiset<std::string> devices;
    for (const v1::Hold& hold : reply.hold()) {
      const auto known = held_.find(hold.lease().token());
      if (known == held_.end() && !hold.has_spec()) continue;
      const v1::Hold& kept = known == held_.end() ? hold : known->second;
      for (const v1::Slot& slot : kept.slots()) devices.insert(slot.device());
      next[hold.lease().token()] = kept;
    }
    for (const std::string& device : devices) {
      if (devices.count(device) > 1) ++devices_held_twice_;
    }
    held_ = std::move(next);
  }

  std::map<std::string, v1::Hold>& held() { return held_; }
  int devices_held_twice() const { return devices_held_twice_; }
  bool Chance(int one_in) { return random_() % static_cast<unsigned>(one_in) == 0; }

 private:
  coordinator::Dispatch& dispatch_;
  const std::string name_;
  std::mt19937 random_;
  std::vector<v1::Slot> slots_;
  std::map<std::string, v1::Hold> held_;
  int devices_held_twice_ = 0;
};

TEST_F(DispatchTest, EveryRunEndsOnceUnderAgentsThatComeAndGo) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse created,
                       coordinator::CreateSweep(*store_, Request({.sizes = "[5k, 10k, 20k]",
                                                                  .seeds = "[1, 2, 3, 4, 5]"})));
  ASSERT_EQ(created.runs_size(), 15);
  std::atomic<bool> over = false;
  std::atomic<int> devices_held_twice = 0;
  std::atomic<int> wrong = 0;

  const auto play = [&](int number) {
    UnreliableAgent agent(dispatch_, number, 2);
    while (!over.load()) {
      if (agent.Chance(20) && !agent.Register().ok()) continue;
      const auto reply = agent.Heartbeat();
      if (!reply.ok()) {
        if (!absl::IsNotFound(reply.status())) ++wrong;
        if (!agent.Register().ok()) ++wrong;
        continue;
      }
      if (!agent.Chance(15)) agent.TakeUp(*reply);  // otherwise the reply was lost
      if (agent.Chance(30)) clock_.AdvanceMs(kLeaseMs + 1);
      std::vector<std::string> ended;
      for (const auto& [token, hold] : agent.held()) {
        std::vector<v1::Record> records = WholeRun(hold.spec(), 5000);
        if (agent.Chance(3)) records.back() = ExitWith(records.size(), v1::PREEMPTED, 1);
        const auto ack = Append(hold.lease(), records);
        if (!ack.ok()) ++wrong;
        ended.push_back(token);
      }
      for (const std::string& token : ended) agent.held().erase(token);
    }
    devices_held_twice += agent.devices_held_twice();
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
      (void)dispatch_.EtaSeconds(runs, "6nd");
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
  EXPECT_EQ(devices_held_twice.load(), 0);

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
