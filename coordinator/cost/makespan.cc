#include "coordinator/cost/makespan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <map>
#include <tuple>

namespace allometry::cost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// As coordinator/schedule/pool.h: what is longer than this share of the open work's time is long.
constexpr double kMayBeLonger = 1.5;

struct Running {
  double end = 0;
  size_t worker = 0;
  int ranks = 0;
};

// The slots of one kind, and what is open of the runs that need them.
struct Kind {
  int slots = 0;
  double waiting_work = 0;  // seconds x ranks
  double running_ranks = 0;
  double ends = 0;  // of what runs, the sum of end x ranks

  double AllWork(double now) const { return (waiting_work + ends - running_ranks * now) / slots; }
};

class Play {
 public:
  Play(const std::vector<RunToPlace>& runs, const std::vector<WorkerSlots>& workers)
      : runs_(runs), workers_(workers), starts_(runs.size(), kNever) {
    for (const WorkerSlots& worker : workers) {
      free_.push_back(worker.slots);
      kinds_[worker.kind].slots += worker.slots;
    }
    std::vector<size_t> order;
    for (size_t i = 0; i < runs.size(); ++i) {
      const RunToPlace& run = runs[i];
      if (run.after >= 0) after_another_.push_back(i);
      kinds_[run.kind].waiting_work += run.seconds * run.ranks;
      if (run.runs_on < 0) {
        order.push_back(i);
        ahead_ += run.ahead;
      } else {
        Run(i, static_cast<size_t>(run.runs_on));
      }
    }
    // As coordinator/schedule/decide.h says.
    const auto place = [&](size_t i) {
      const RunToPlace& run = runs[i];
      return std::make_tuple(run.ahead, std::ilogb(run.seconds * run.ranks), run.ranks,
                             run.seconds);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return place(a) > place(b); });
    waiting_.assign(order.begin(), order.end());
    order_.resize(runs.size());
    for (size_t k = 0; k < order.size(); ++k) order_[order[k]] = k;
    longest_ = std::move(order);
    std::stable_sort(longest_.begin(), longest_.end(),
                     [&](size_t a, size_t b) { return runs[a].seconds > runs[b].seconds; });
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
    bool long_began = false;
    if (ahead_ == 0) {
      long_began |= StartLong(1);
      long_began |= StartLong(kMayBeLonger);
    }
    for (auto it = waiting_.begin(); it != waiting_.end() && AnyFree();) {
      it = Started(*it) || Start(*it) ? waiting_.erase(it) : std::next(it);
    }
    if (long_began) std::erase_if(waiting_, [this](size_t i) { return Started(i); });
  }
  bool Started(size_t i) const { return starts_[i] < kNever; }

  // Those longer than the open work would take so many times as fast; mostly there are none.
  // Whether one began.
  bool StartLong(double share) {
    while (longest_from_ < longest_.size() && Started(longest_[longest_from_])) ++longest_from_;
    std::vector<size_t> long_ones;
    for (size_t k = longest_from_; k < longest_.size(); ++k) {
      const size_t i = longest_[k];
      if (Started(i)) continue;
      if (runs_[i].seconds <= kinds_[runs_[i].kind].AllWork(now_) / share) break;
      long_ones.push_back(i);
    }
    std::sort(long_ones.begin(), long_ones.end(),
              [this](size_t a, size_t b) { return order_[a] < order_[b]; });
    bool began = false;
    for (const size_t i : long_ones) began |= Start(i);
    return began;
  }
  bool AnyFree() const {
    return std::any_of(free_.begin(), free_.end(), [](int free) { return free > 0; });
  }

  void Run(size_t i, size_t worker) {
    free_[worker] -= runs_[i].ranks;
    starts_[i] = now_;
    const double end = now_ + runs_[i].seconds;
    running_.push_back({end, worker, runs_[i].ranks});
    Kind& kind = kinds_[runs_[i].kind];
    kind.waiting_work -= runs_[i].seconds * runs_[i].ranks;
    kind.running_ranks += runs_[i].ranks;
    kind.ends += end * runs_[i].ranks;
    ahead_ -= runs_[i].ahead && runs_[i].runs_on < 0;
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
      Kind& kind = kinds_[workers_[running.worker].kind];
      kind.running_ranks -= running.ranks;
      kind.ends -= running.end * running.ranks;
      return true;
    });
  }

  const std::vector<RunToPlace>& runs_;
  const std::vector<WorkerSlots>& workers_;
  std::vector<double> starts_;
  std::vector<int> free_;
  std::map<std::string, Kind> kinds_;
  std::list<size_t> waiting_;          // in order
  std::vector<size_t> order_;          // a waiting run's place in that order
  std::vector<size_t> longest_;        // that waited at first, the longest first
  size_t longest_from_ = 0;            // those before it have begun
  int ahead_ = 0;                      // tuning runs that wait
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

}  // namespace allometry::cost
