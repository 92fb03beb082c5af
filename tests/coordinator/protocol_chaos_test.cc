// What agents and their coordinator say to each other, dropped, delayed, repeated and reordered,
// with agents and coordinators that die and clocks that jump. Virtual time, one thread: a seed is
// one history, and a failing seed names itself.
//
// After every step: no run is trained by two agents within their leases, no device is leased twice,
// and the view folded from the commits is the rows. At the end: every record once, with its value.
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/leases/cluster_view.h"
#include "coordinator/leases/dispatch.h"
#include "coordinator/stages/submission.h"
#include "coordinator/store/change_feed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/chaos_agent.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/append_and_wait.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

constexpr int64_t kLeaseMs = 3000;
constexpr int kSteps = 600;

// A coordinator without gRPC whose time the test owns, and the view that its commits make.
class Coordinator {
 public:
  Coordinator(const std::string& path, const FakeClock& clock)
      : clock_(clock), dispatch_(DispatchOptions(clock), feed_), view_(kLeaseMs * 1'000'000) {
    store::Options options;
    options.clock = &clock;
    options.committed = [this](absl::Span<const store::RunRow> rows) {
      for (const store::RunRow& row : rows) view_.Put(row, clock_.BootNanos());
      dispatch_.Committed(rows);
    };
    auto opened = store::Store::Open(path, options);
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
    const auto rows = store_->OpenRuns();
    EXPECT_THAT(rows, IsOk());
    for (const store::RunRow& row : *rows) view_.Put(row, clock_.BootNanos());
    EXPECT_THAT(dispatch_.Start(*store_), IsOk());
  }
  ~Coordinator() {
    dispatch_.Stop();
    store_.reset();
  }

  coordinator::Dispatch& dispatch() { return dispatch_; }
  store::Store& store() { return *store_; }

  void ExpectViewIsTheRows(const std::set<std::string>& agents) {
    const auto rows = store_->OpenRuns();
    ASSERT_THAT(rows, IsOk());
    std::map<std::string, std::set<int64_t>> held;
    std::set<std::pair<std::string, std::string>> devices;
    for (const store::RunRow& row : *rows) {
      const store::RunRow* seen = view_.Find(row.run.run_id());
      ASSERT_NE(seen, nullptr) << row.run.run_id();
      ASSERT_EQ(seen->run.state(), row.run.state());
      ASSERT_EQ(seen->run.attempt(), row.run.attempt());
      ASSERT_EQ(seen->attempt.has_value(), row.attempt.has_value());
      if (row.run.state() != v1::LEASED) continue;
      ASSERT_EQ(seen->attempt->lease.token(), row.attempt->lease.token());
      held[row.attempt->agent_id].insert(row.run.run_id());
      for (const v1::Slot& slot : row.attempt->slots) {
        ASSERT_TRUE(devices.emplace(slot.host(), slot.device()).second)
            << slot.host() << "/" << slot.device() << " is leased twice";
      }
    }
    for (const std::string& agent : agents) ASSERT_EQ(view_.HeldBy(agent), held[agent]) << agent;
  }

 private:
  static coordinator::DispatchOptions DispatchOptions(const FakeClock& clock) {
    coordinator::DispatchOptions options;
    options.lease_ms = kLeaseMs;
    options.heartbeat_ms = 50;
    options.clock = &clock;
    options.ticks_by_itself = false;
    return options;
  }

  const FakeClock& clock_;
  coordinator::ChangeFeed feed_;
  coordinator::Dispatch dispatch_;
  coordinator::ClusterView view_;
  std::unique_ptr<store::Store> store_;
};

class ProtocolChaosTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    random_.seed(GetParam());
    coordinator_ = std::make_unique<Coordinator>(path_, clock_);
    calls_.enroll = [this](const v1::RegisterRequest& request) {
      return coordinator_->dispatch().Register(request);
    };
    calls_.heartbeat = [this](const v1::HeartbeatRequest& request) {
      return coordinator_->dispatch().Heartbeat(request);
    };
    calls_.append = [this](const v1::RecordBatch& batch) {
      return AppendAndWait(coordinator_->dispatch(), batch);
    };
    for (const char* name : {"p", "q", "r"}) {
      names_.insert(name);
      agents_.push_back(
          std::make_unique<ChaosAgent>(name, 2, TinyDataset(), calls_, network_, clock_, random_));
    }
    ASSERT_OK(coordinator::CreateSweep(coordinator_->store(),
                                       Request({.sizes = "[5k, 10k, 20k]",
                                                .seeds = "[1, 2]",
                                                .more = "devices: {default: 1, 20k: 2}\n"})));
  }

  bool Chance(unsigned one_in) { return random_() % one_in == 0; }

  void Disturb() {
    if (Chance(40)) agents_[random_() % agents_.size()]->Crash();
    if (Chance(150)) {
      coordinator_.reset();
      coordinator_ = std::make_unique<Coordinator>(path_, clock_);
    }
    // Somebody sets the wall clock; every machine sleeps for longer than a lease.
    if (Chance(50)) clock_.JumpWallMs(static_cast<int64_t>(random_() % 7'200'000) - 3'600'000);
    if (Chance(100)) clock_.AdvanceMs(kLeaseMs + 1);
  }

  void Step() {
    clock_.AdvanceMs(5 + static_cast<int64_t>(random_() % 40));
    network_.Step();
    for (const auto& agent : agents_) agent->Step();
    coordinator_->dispatch().Tick();
    std::map<int64_t, int> trained_by;
    for (const auto& agent : agents_) {
      for (const int64_t run_id : agent->Running()) {
        ASSERT_EQ(++trained_by[run_id], 1) << "run " << run_id << " is trained by two";
      }
    }
    coordinator_->ExpectViewIsTheRows(names_);
  }

  bool AllEnded() {
    const auto sweep = coordinator_->store().GetSweep("tiny");
    EXPECT_THAT(sweep, IsOk());
    return sweep->sweep.runs_succeeded() == sweep->sweep.runs();
  }

  void ExpectEveryRecordOnce() {
    ASSERT_OK_AND_ASSIGN(const store::StoredSweep sweep, coordinator_->store().GetSweep("tiny"));
    for (const v1::Run& run : sweep.runs) {
      const auto expect = [&](const char* series, const std::vector<int64_t>& steps) {
        ASSERT_OK_AND_ASSIGN(const auto curve, coordinator_->store().Curve(run.run_id(), series));
        std::vector<int64_t> stored;
        for (const store::CurvePoint& point : curve) {
          stored.push_back(point.step);
          EXPECT_EQ(point.value, LossAt(run.run_id(), point.step)) << series << " " << point.step;
        }
        EXPECT_EQ(stored, steps) << run.run_id() << " " << series;
      };
      std::vector<int64_t> tens;
      for (int64_t step = 10; step <= run.spec().steps(); step += 10) tens.push_back(step);
      expect("train", tens);
      expect("heldout",
             {run.spec().evaluation_steps().begin(), run.spec().evaluation_steps().end()});
    }
    for (const v1::Cell& cell : sweep.cells) EXPECT_TRUE(cell.done());
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.Path("allometry.db");
  FakeClock clock_;
  std::mt19937_64 random_;
  std::unique_ptr<Coordinator> coordinator_;
  CoordinatorCalls calls_;
  UnreliableNetwork network_{random_};
  std::vector<std::unique_ptr<ChaosAgent>> agents_;
  std::set<std::string> names_;
};

TEST_P(ProtocolChaosTest, EveryRecordOnceAndNoRunTwice) {
  SCOPED_TRACE(absl::StrCat("seed ", GetParam()));
  for (int step = 0; step < kSteps; ++step) {
    Disturb();
    ASSERT_NO_FATAL_FAILURE(Step()) << "step " << step;
  }
  network_.Repair();
  bool ended = false;
  for (int step = 0; step < 4000 && !ended; ++step) {
    if (step % 50 == 0) {
      ASSERT_OK(coordinator_->store().Retry("tiny", {}));
      coordinator_->dispatch().Decide();
      ended = AllEnded();
    }
    ASSERT_NO_FATAL_FAILURE(Step());
  }
  EXPECT_TRUE(ended);
  ExpectEveryRecordOnce();
  int64_t refused = 0;
  for (const auto& agent : agents_) refused += agent->refused();
  RecordProperty("refused_batches", static_cast<int>(refused));
  int attempts = 0;
  ASSERT_OK_AND_ASSIGN(const store::StoredSweep sweep, coordinator_->store().GetSweep("tiny"));
  for (const v1::Run& run : sweep.runs) attempts += run.attempt();
  EXPECT_GT(attempts, 2 * static_cast<int>(sweep.runs.size())) << "the history was too calm";
}

INSTANTIATE_TEST_SUITE_P(Seeds, ProtocolChaosTest, ::testing::Range<uint64_t>(1, 7));

}  // namespace
}  // namespace allometry::testing
