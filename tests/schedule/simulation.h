// A seeded simulator of the scheduler in virtual time: what the runs, the workers and the network
// do is true here; the scheduler sees what a coordinator would see.
//
// Runs. Costs are log-uniform over 3.5 decades; a share are gangs, a share wait for another run;
// sweeps arrive one after the other, with priorities. Expectations may be wrong by a factor,
// and are FLOPs for each rank until the first pace is known.
// Devices. k one-rank runs on one make 1, 1.6, 1.9 and 1.75 times the speed of one: the fourth does
// not pay, which the scheduler learns from measured paces.
// Faults. A worker crashes and comes back; its runs are noticed when their lease ends or the worker
// is back, and go on from their last checkpoint. A worker is cut off: it trains until its own
// deadline, which is before the coordinator's, and is heard again later; what it did then counts
// only where its run was not given away. Runs are given to workers that are gone and not missed
// yet. Probation: a worker that comes back gets one run, and more when that has trained a while.
//
// Checked at every step: nothing runs twice at once, no slot has more runs or memory than it takes,
// a gang is alone on slots of one worker, and the plain oracle decides the same. At the end: every
// run ended exactly once.
#pragma once

#include <cstdint>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/schedule/scheduler.h"
#include "coordinator/schedule/sharing_paces.h"

namespace allometry::schedule {

constexpr int64_t kSimulatedMemory = 80'000'000'000;  // bytes of a device

struct SimulationOptions {
  uint64_t seed = 1;
  int workers = 6;
  int max_slots = 8;  // of a worker: a power of two up to this; the first has so many
  int runs = 120;
  double gangs = 0.2;   // share of the runs that have 2, 4 or 8 ranks
  double ahead = 0;     // share that goes before the rest of its sweep
  double children = 0;  // share that wait for another run to end
  int sweeps = 2;
  int priorities = 1;
  int32_t runs_per_slot = 1;
  double wrong_by = 1;       // expectations are wrong by up to this factor, both ways
  double first_pace_s = 0;   // before this time the scheduler knows no pace
  double crash_every_s = 0;  // of one worker, on average; 0: never
  double cut_every_s = 0;
  double late = 0;        // share of the workers that join later
  double probation = 0;   // share of the workers that are on probation when they join
  int compare_every = 1;  // decisions between two comparisons with the plain oracle
};

struct SimulationResult {
  std::string error;      // the first check that failed; empty: none
  double makespan = 0;    // seconds
  double bound = 0;       // see Bound()
  double late_start = 0;  // the latest start over its bound, at most 1 without starvation
  int starts = 0, shared = 0, preempted = 0, crashes = 0, cuts = 0, given_away = 0;
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  SimulationResult Run();

 private:
  enum class Kind {
    kFinish,
    kCrash,
    kBack,
    kCut,
    kOwnDeadline,
    kMissed,
    kHeal,
    kStopped,
    kArrive,
    kProven
  };
  struct Event {
    double time;
    uint64_t order;  // of those at one time
    Kind kind;
    int64_t id;  // of the run, the worker or the sweep
    int64_t version;
    bool operator>(const Event& other) const {
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };
  struct Job {
    RunState state;                     // as submitted
    double cost = 0;                    // seconds, alone on its slots
    double left = 0;                    // of the cost, at `since`
    double from = 0;                    // `left` when this attempt started
    double arrived = 0, available = 0;  // submitted; its parent ended
    double redone = 0, idle = 0;  // seconds of its chain: done again; placed, and not training
    double wrong = 1, best_speed = 1;
    int64_t parent = 0;
    int attempt = 0, ends = 0;
    double first_start = -1;
    // The attempt that trains, or has just trained, in truth.
    bool training = false;
    int worker = -1;
    std::vector<size_t> devices;
    double rate = 0, since = 0, placed_at = 0;
    int64_t version = 0;  // of its finish
    bool waits() const { return ends == 0; }
  };
  struct Device {
    std::vector<int64_t> claims;    // runs placed on it, as the coordinator knows
    std::vector<int64_t> trainers;  // in truth
  };
  struct Unheard {
    int attempt = 0;
    double known = 0;  // `left` by its last checkpoint that the coordinator knows
    double left = 0;   // as it was when its lease ended
    bool ended = false;
  };
  struct Worker {
    AgentState agent;
    std::vector<Device> devices;
    bool up = true, cut = false, missed = false;
    int64_t epoch = 0;
    double cut_at = 0;
    std::map<int64_t, Unheard> unheard;  // runs that it trained when it was cut off
  };

  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  double Uniform() { return std::uniform_real_distribution<double>()(random_); }
  double After(double mean) {
    return now_ + std::exponential_distribution<double>(1 / mean)(random_);
  }
  int64_t NowNanos() const { return static_cast<int64_t>(now_ * 1e9); }
  void Fail(const std::string& what);

  void MakeWorkers();
  void MakeRuns();
  void Schedule(double time, Kind kind, int64_t id, int64_t version = 0);
  void Happen(const Event& event);
  void Decide();

  // --- Runs ---
  void Arrive(int64_t sweep_id);
  void Submit(Job& job);
  void Start(const Assignment& start);
  void CheckPlace(const Job& job, const Worker& worker, const std::vector<size_t>& devices);
  void BeginTraining(Job& job);
  // Brings `left` up to now.
  void Settle(Job& job);
  // The trainer is gone. Others on its device go faster, or slower.
  void EndTraining(Job& job);
  void Repace(Worker& worker, size_t device);
  void Finish(Job& job);
  // Its attempt is over for the coordinator: it waits again, with this much left.
  void WaitAgain(Job& job, double left);
  void Unclaim(Job& job);
  double DurableLeft(const Job& job) const;
  // The scheduler's expectation of so many seconds, in seconds or FLOPs.
  double Expected(const Job& job, double seconds) const;
  void RefreshExpectations();

  // --- Workers ---
  void Crash(int64_t worker);
  void ComeBack(int64_t worker);
  void CutOff(int64_t worker);
  void OwnDeadline(int64_t worker);
  void Missed(int64_t worker);
  void Heal(int64_t worker);
  void Join(Worker& worker);
  void Lost(const Worker& worker, double from, double to);
  std::vector<int64_t> PlacedOn(const Worker& worker) const;

  // Over the priorities: the longest chain, or work over capacity, whichever is more; one priority
  // after the other, because that is what priority means. A chain has what its runs did again, and
  // the time that they were placed and not training; work has what was done again and the capacity
  // that was lost.
  double Bound() const;
  double WorkOverCapacity(int32_t from_priority) const;
  void CheckTheEnd();

  const SimulationOptions options_;
  std::mt19937_64 random_;
  Scheduler scheduler_;
  SharingPaces paces_;
  std::vector<Worker> workers_;
  std::map<int64_t, Job> jobs_;  // by run_id
  std::map<int64_t, std::vector<int64_t>> children_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t order_ = 0;
  double now_ = 0, refresh_at_ = 0;
  bool has_pace_ = false;
  int open_ = 0, decisions_ = 0;
  double capacity_ = 0;
  std::vector<std::pair<std::pair<double, double>, double>> lost_;  // from, to, slots
  SimulationResult result_;
};

}  // namespace allometry::schedule
