// The faults of tests/e2e/chaos.h on one deployment. Every fault has an end: what was stopped goes
// on, what was killed is started again (trainers by their agents).
#pragma once

#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/e2e/deployment.h"

namespace allometry::testing {

class Faults {
 public:
  using Clock = std::chrono::steady_clock;

  Faults(Deployment& deployment, std::mt19937_64& random, int64_t lease_ms)
      : deployment_(deployment), random_(random), lease_ms_(lease_ms) {}

  // One more fault, on something that none is on now; its name ("kill rank"), and in `detail` a
  // sentence. Empty: nothing to hit, as no trainer runs and all else is down already.
  std::string Inject(std::string& detail);
  // Ends those whose time is over.
  void EndDue();
  void EndAll();
  bool coordinator_answers() const { return !coordinator_hit_; }

 private:
  struct Open {
    Clock::time_point until;
    std::function<void()> end;
  };
  struct Target {
    std::string kind;                        // "coordinator", "agent", "mpirun", "rank"
    std::string name;                        // for people
    std::function<void(int signal)> signal;  // SIGSTOP, SIGCONT
    std::function<void()> kill;
    std::function<void()> restart;  // after kill; none: an agent does it
    std::function<void(bool hit)> mark;
  };

  std::vector<Target> Targets();
  void AddTrainers(int worker, std::vector<Target>& targets);
  int64_t Duration();
  int64_t Between(int64_t least, int64_t largest) {
    return std::uniform_int_distribution<int64_t>(least, largest)(random_);
  }

  Deployment& deployment_;
  std::mt19937_64& random_;
  const int64_t lease_ms_;
  bool coordinator_hit_ = false;
  std::set<int> workers_hit_;
  std::set<pid_t> stopped_;  // trainers and mpiruns
  std::vector<Open> open_;
};

}  // namespace allometry::testing
