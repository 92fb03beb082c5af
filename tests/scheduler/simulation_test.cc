// A seeded simulator of the pure scheduler in virtual time: runs of widely different cost, gangs,
// two sweeps, workers that join and die, expectations that are wrong. A failing seed names itself.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>

#include "coordinator/scheduler/decide.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scheduler/cluster_builder.h"

namespace allometry::scheduler {
namespace {

constexpr double kSecond = 1e9;

struct Faults {
  double worker_dies_every_s = 0;  // on average; 0: never
  double comes_back_after_s = 50;
  double wrong_by = 1;  // expectations are wrong by up to this factor, both ways
};

class Simulation {
 public:
  Simulation(uint64_t seed, int workers, int runs, const Faults& faults)
      : random_(seed), faults_(faults) {
    for (int i = 0; i < workers; ++i) {
      const int slots = 1 << Below(4);  // 1, 2, 4, 8
      cluster_.Worker(absl::StrCat("w", i), i == 0 ? 8 : slots);
      capacity_ += static_cast<double>(i == 0 ? 8 : slots);
    }
    for (int id = 1; id <= runs; ++id) {
      const double work = std::pow(10.0, 3 * Uniform());  // three decades
      const int ranks = Below(5) == 0 ? 1 << (1 + Below(3)) : 1;
      cluster_.Run(id, work, ranks, /*sweep_id=*/1 + Below(2));
      left_[id] = work / ranks;
      total_work_ += work;
      longest_ = std::max(longest_, work / ranks);
      Expect(id);
    }
    next_death_ = NextDeath();
  }

  // Runs to the end; false when it does not come.
  bool Run() {
    for (int events = 0; events < 200'000; ++events) {
      if (left_.empty()) return true;
      Decision decision = Decide(cluster_.state(), NowNanos());
      Check(decision);
      for (const Assignment& start : decision.assignments) Place(start);
      Advance();
    }
    return false;
  }

  double now() const { return now_; }
  double lower_bound() const { return std::max(longest_, total_work_ / capacity_); }
  int deaths() const { return deaths_; }

 private:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  double Uniform() { return std::uniform_real_distribution<double>()(random_); }
  int64_t NowNanos() const { return static_cast<int64_t>(now_ * kSecond); }
  double NextDeath() {
    if (faults_.worker_dies_every_s == 0) return 1e300;
    return now_ + std::exponential_distribution<double>(1 / faults_.worker_dies_every_s)(random_);
  }

  void Expect(int64_t id) {
    const double wrong = std::pow(faults_.wrong_by, 2 * Uniform() - 1);
    cluster_.state().runs.at(id).duration = left_.at(id) * wrong;
  }

  void Check(const Decision& decision) {
    std::set<std::string> used;
    size_t waiting = 0;
    for (const auto& [id, run] : cluster_.state().runs) {
      if (!run.placement.has_value()) {
        ++waiting;
        continue;
      }
      for (const v1::Slot& slot : run.placement->slots) {
        ASSERT_TRUE(used.insert(slot.host() + slot.device()).second);
      }
    }
    std::set<int64_t> mentioned;
    for (const Assignment& start : decision.assignments) {
      const RunState& run = cluster_.state().runs.at(start.run_id);
      ASSERT_FALSE(run.placement.has_value()) << "run " << start.run_id << " is assigned twice";
      ASSERT_TRUE(mentioned.insert(start.run_id).second);
      ASSERT_TRUE(cluster_.state().agents.at(start.agent_id).live);
      ASSERT_EQ(static_cast<int>(start.slots.size()), run.ranks);
      for (const v1::Slot& slot : start.slots) {
        ASSERT_EQ(slot.host(), "host-" + start.agent_id) << "a gang on one worker";
        ASSERT_TRUE(used.insert(slot.host() + slot.device()).second)
            << "slot " << slot.device() << " of " << slot.host() << " is assigned twice";
      }
    }
  }

  void Place(const Assignment& start) {
    RunState& run = cluster_.state().runs.at(start.run_id);
    run.placement = {1, start.agent_id, start.slots};
  }

  // To the next end, death or return, whichever is first.
  void Advance() {
    double next = next_death_;
    for (const auto& [id, run] : cluster_.state().runs) {
      if (run.placement.has_value()) next = std::min(next, now_ + left_.at(id));
    }
    if (!returns_.empty()) next = std::min(next, returns_.begin()->first);
    const double step = next - now_;
    now_ = next;
    std::vector<int64_t> ended;
    for (auto& [id, run] : cluster_.state().runs) {
      if (!run.placement.has_value()) continue;
      left_.at(id) -= step;
      run.duration = std::max(0.0, run.duration - step);
      if (left_.at(id) <= 1e-9) ended.push_back(id);
    }
    for (const int64_t id : ended) {
      cluster_.state().runs.erase(id);
      left_.erase(id);
    }
    while (!returns_.empty() && returns_.begin()->first <= now_) {
      cluster_.state().agents.at(returns_.begin()->second).live = true;
      returns_.erase(returns_.begin());
    }
    if (now_ >= next_death_) KillAWorker();
  }

  // Its runs wait again; what they did since their start is lost.
  void KillAWorker() {
    next_death_ = NextDeath();
    auto worker = cluster_.state().agents.begin();
    std::advance(worker, Below(static_cast<int>(cluster_.state().agents.size())));
    if (!worker->second.live) return;
    ++deaths_;
    worker->second.live = false;
    returns_.emplace(now_ + faults_.comes_back_after_s, worker->first);
    for (auto& [id, run] : cluster_.state().runs) {
      if (!run.placement.has_value() || run.placement->agent_id != worker->first) continue;
      run.placement.reset();
      run.waiting_since_ns = NowNanos();
      Expect(id);
    }
  }

  std::mt19937_64 random_;
  const Faults faults_;
  ClusterBuilder cluster_;
  std::map<int64_t, double> left_;  // true time to the end of each run not ended
  std::multimap<double, std::string> returns_;
  double now_ = 0, next_death_ = 0;
  double capacity_ = 0, total_work_ = 0, longest_ = 0;
  int deaths_ = 0;
};

TEST(SimulationTest, EveryRunEndsAndNoSlotIsUsedTwice) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Faults faults;
    faults.worker_dies_every_s = 20;
    faults.wrong_by = 5;
    Simulation simulation(seed, 6, 120, faults);
    ASSERT_TRUE(simulation.Run()) << "a run starved";
    EXPECT_GT(simulation.deaths(), 0);
  }
}

TEST(SimulationTest, WithoutFaultsTheMakespanIsNearTheLowerBound) {
  double worst = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Simulation simulation(seed, 6, 300, Faults());
    ASSERT_TRUE(simulation.Run());
    worst = std::max(worst, simulation.now() / simulation.lower_bound());
  }
  RecordProperty("worst_makespan_over_bound", absl::StrCat(worst));
  EXPECT_LE(worst, 1.25);
}

TEST(SimulationTest, OneGangAmongAStreamOfNarrowRunsStarts) {
  ClusterBuilder cluster;
  cluster.Worker("a", 4);
  std::mt19937 random(3);
  std::map<int64_t, double> left;
  int64_t next_id = 1;
  const auto add_narrow = [&] {
    const double work = 1 + static_cast<double>(random() % 100);
    // Expected far too short, so that they would always fill the held slots.
    cluster.Run(next_id, work).duration = 0.001;
    left[next_id++] = work;
  };
  for (int i = 0; i < 8; ++i) add_narrow();
  double now = 0;
  const int64_t gang = 1'000'000;
  for (int event = 0; event < 10'000; ++event) {
    // The sweep that holds nothing goes first, but not by more than its turn.
    if (event == 10)
      cluster.Run(gang, 4, 4, /*sweep_id=*/2).waiting_since_ns =
          static_cast<int64_t>(now * kSecond);
    for (const Assignment& start :
         Decide(cluster.state(), static_cast<int64_t>(now * kSecond)).assignments) {
      if (start.run_id == gang) return;
      cluster.state().runs.at(start.run_id).placement = {1, start.agent_id, start.slots};
    }
    double step = 1e300;
    for (const auto& [id, run] : cluster.state().runs) {
      if (run.placement.has_value()) step = std::min(step, left.at(id));
    }
    now += step;
    std::vector<int64_t> ended;
    for (auto& [id, run] : cluster.state().runs) {
      if (!run.placement.has_value()) continue;
      left.at(id) -= step;
      if (left.at(id) <= 1e-9) ended.push_back(id);
    }
    for (const int64_t id : ended) {
      cluster.state().runs.erase(id);
      add_narrow();
    }
  }
  FAIL() << "the gang starved behind narrow runs for " << now << " s";
}

}  // namespace
}  // namespace allometry::scheduler
