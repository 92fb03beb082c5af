#include "coordinator/planner/makespan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <tuple>

namespace allometry::planner {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Running {
  double end = 0;
  size_t worker = 0;
  int ranks = 0;
};

class Play {
 public:
  Play(const std::vector<RunToPlace>& runs, const std::vector<WorkerSlots>& workers)
      : runs_(runs), workers_(workers), starts_(runs.size(), kNever) {
    for (const WorkerSlots& worker : workers) free_.push_back(worker.slots);
    std::vector<size_t> order;
    for (size_t i = 0; i < runs.size(); ++i) {
      const RunToPlace& run = runs[i];
      if (run.after >= 0) after_another_.push_back(i);
      if (run.runs_on < 0) {
        order.push_back(i);
      } else {
        Run(i, static_cast<size_t>(run.runs_on));
      }
    }
    // As coordinator/scheduler/decide.h says.
    const auto place = [&](size_t i) {
      const RunToPlace& run = runs[i];
      return std::make_tuple(run.ahead, std::ilogb(run.seconds * run.ranks), run.ranks,
                             run.seconds);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return place(a) > place(b); });
    waiting_.assign(order.begin(), order.end());
  }

  std::optional<double> ToTheEnd() {
    for (;;) {
      StartWhatCanStart();
      const double next = NextMoment();
      if (waiting_.empty()) break;
      if (next == kNever) return std::nullopt;
      AdvanceTo(next);
    }
    double last = now_;
    for (const Running& running : running_) last = std::max(last, running.end);
    return last;
  }

 private:
  bool Fits(const RunToPlace& run, size_t worker) const {
    return workers_[worker].kind == run.kind && workers_[worker].slots >= run.ranks;
  }
  // When its checkpoint is there; kNever while the run before has not started.
  double ReadyAt(const RunToPlace& run) const {
    return run.after < 0 ? 0 : starts_[run.after] + run.after_seconds;
  }

  void StartWhatCanStart() {
    held_on_ = workers_.size();
    for (auto it = waiting_.begin(); it != waiting_.end() && AnyFree();) {
      it = Start(*it) ? waiting_.erase(it) : std::next(it);
    }
  }
  bool AnyFree() const {
    return std::any_of(free_.begin(), free_.end(), [](int free) { return free > 0; });
  }

  void Run(size_t i, size_t worker) {
    free_[worker] -= runs_[i].ranks;
    starts_[i] = now_;
    running_.push_back({now_ + runs_[i].seconds, worker, runs_[i].ranks});
  }

  bool Start(size_t i) {
    const RunToPlace& run = runs_[i];
    if (ReadyAt(run) > now_) return false;
    size_t best = workers_.size();
    for (size_t w = 0; w < workers_.size(); ++w) {
      if (!Fits(run, w) || free_[w] < run.ranks) continue;
      // What is free there is fewer than the gang needs: all of it is held.
      if (w == held_on_ && now_ + run.seconds > held_until_) continue;
      // The fewest left free: whole workers stay for gangs.
      if (best == workers_.size() || free_[w] < free_[best]) best = w;
    }
    if (best == workers_.size()) {
      if (run.ranks > 1 && held_on_ == workers_.size()) HoldFor(run);
      return false;
    }
    Run(i, best);
    return true;
  }

  // On the worker where its slots come free soonest.
  void HoldFor(const RunToPlace& run) {
    double soonest = kNever;
    for (size_t w = 0; w < workers_.size(); ++w) {
      if (!Fits(run, w)) continue;
      std::vector<Running> ends;
      for (const Running& running : running_) {
        if (running.worker == w) ends.push_back(running);
      }
      std::sort(ends.begin(), ends.end(), [](auto& a, auto& b) { return a.end < b.end; });
      int free = free_[w];
      for (const Running& running : ends) {
        free += running.ranks;
        if (free < run.ranks) continue;
        if (running.end < soonest) {
          soonest = running.end;
          held_on_ = w;
        }
        break;
      }
    }
    held_until_ = soonest;
  }

  double NextMoment() const {
    double next = kNever;
    for (const Running& running : running_) next = std::min(next, running.end);
    for (const size_t i : after_another_) {
      const double ready = ReadyAt(runs_[i]);
      if (ready > now_) next = std::min(next, ready);
    }
    return next;
  }

  void AdvanceTo(double moment) {
    now_ = moment;
    std::erase_if(running_, [this](const Running& running) {
      if (running.end > now_) return false;
      free_[running.worker] += running.ranks;
      return true;
    });
  }

  const std::vector<RunToPlace>& runs_;
  const std::vector<WorkerSlots>& workers_;
  std::vector<double> starts_;
  std::vector<int> free_;
  std::list<size_t> waiting_;          // in order
  std::vector<size_t> after_another_;  // runs that wait for a checkpoint
  std::vector<Running> running_;
  double now_ = 0;
  // Slots kept for a gang, until the moment when it is expected to start.
  size_t held_on_ = 0;
  double held_until_ = 0;
};

}  // namespace

std::optional<double> Makespan(const std::vector<RunToPlace>& runs,
                               const std::vector<WorkerSlots>& workers) {
  for (const RunToPlace& run : runs) {
    if (run.runs_on >= 0) continue;
    const bool fits = std::any_of(workers.begin(), workers.end(), [&](const WorkerSlots& worker) {
      return worker.kind == run.kind && worker.slots >= run.ranks;
    });
    if (!fits) return std::nullopt;
  }
  return Play(runs, workers).ToTheEnd();
}

}  // namespace allometry::planner
