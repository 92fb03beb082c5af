#include "coordinator/cost/makespan.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/schedule/pool.h"
#include "coordinator/schedule/scheduler.h"

namespace allometry::cost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

int64_t ToNanos(double seconds) { return static_cast<int64_t>(std::min(seconds * 1e9, 9e18)); }

// The scheduler's id of run or worker i; ids keep the order of the list.
int64_t RunId(size_t i) { return static_cast<int64_t>(i) + 1; }
std::string AgentId(size_t worker) { return absl::StrFormat("worker-%09d", worker); }

v1::Slot SlotOf(const WorkerSlots& worker, int slot) {
  v1::Slot of;
  of.set_host(worker.host);
  of.set_device(run::DeviceName(worker.kind, slot));
  of.set_memory_bytes(static_cast<int64_t>(worker.memory_bytes));
  return of;
}

// The open work of one kind of device: rank-seconds, exact at any time.
struct Backlog {
  double waiting = 0;        // of runs that could start
  double ends = 0;           // of running ones, the sum of end x ranks
  double running_ranks = 0;  // and of their ranks
  int slots = 0;

  double Seconds(double now) const { return (waiting + ends - running_ranks * now) / slots; }
};

class Simulation {
 public:
  Simulation(const std::vector<RunToPlace>& runs, const std::vector<WorkerSlots>& workers)
      : runs_(runs), ends_(runs.size(), kNever), dependents_(runs.size()) {
    std::vector<int> next_slot(workers.size(), 0);
    for (size_t w = 0; w < workers.size(); ++w) {
      schedule::AgentState agent;
      agent.agent_id = AgentId(w);
      agent.host = workers[w].host;
      agent.live = true;
      for (int s = 0; s < workers[w].slots; ++s) agent.slots.push_back(SlotOf(workers[w], s));
      scheduler_.PutAgent(std::move(agent));
      backlog_[workers[w].kind].slots += workers[w].slots;
    }
    for (size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].after >= 0) dependents_[static_cast<size_t>(runs[i].after)].push_back(i);
    }
    for (size_t i = 0; i < runs.size(); ++i) {
      const RunToPlace& run = runs[i];
      schedule::RunState state;
      state.run_id = RunId(i);
      state.ahead = run.ahead;
      state.ranks = run.ranks;
      state.device = run.kind;
      state.memory_bytes = static_cast<int64_t>(run.memory_bytes);
      state.duration = run.seconds;
      if (run.runs_on < 0) {
        for (const size_t dependent : dependents_[i]) {
          state.duration = std::max(state.duration, run.seconds + runs[dependent].seconds);
        }
        if (run.after >= 0) state.blocked = "the checkpoint is not there";
        if (state.blocked.empty()) AddWaiting(i, state.duration, 1);
        gangs_waiting_ += run.ranks > 1;
        ++waiting_;
        scheduler_.PutRun(std::move(state));
        continue;
      }
      const auto worker = static_cast<size_t>(run.runs_on);
      schedule::Placement placement{.attempt = 1, .agent_id = AgentId(worker), .slots = {}};
      for (int rank = 0; rank < run.ranks; ++rank) {
        placement.slots.push_back(SlotOf(workers[worker], next_slot[worker]++));
      }
      state.placement = std::move(placement);
      scheduler_.PutRun(std::move(state));
      Began(i);
    }
  }

  std::optional<double> ToTheEnd() {
    double last = 0;
    while (!events_.empty() || waiting_ > 0) {
      if (waiting_ > 0) StartWhatCanStart();
      if (events_.empty()) return std::nullopt;
      now_ = events_.top().first;
      for (; !events_.empty() && events_.top().first <= now_; events_.pop()) {
        const size_t i = events_.top().second;
        if (ends_[i] <= now_) {
          Ended(i);
          last = now_;
        } else {
          Unblock(i);
        }
      }
    }
    return last;
  }

 private:
  void StartWhatCanStart() {
    if (RemainingTimesMatter()) {
      for (const auto& [run_id, end] : running_) scheduler_.SetRemaining(run_id, 0, end - now_);
    }
    const schedule::Decision decision = scheduler_.Decide(ToNanos(now_), {.preempt = false});
    for (const schedule::Assignment& assignment : decision.assignments) {
      const auto i = static_cast<size_t>(assignment.run_id - 1);
      scheduler_.ChangeRun(assignment.run_id, [&](schedule::RunState& run) {
        AddWaiting(i, run.duration, -1);
        run.duration = runs_[i].seconds;
        run.placement = {.attempt = 1, .agent_id = assignment.agent_id, .slots = assignment.slots};
      });
      gangs_waiting_ -= runs_[i].ranks > 1;
      --waiting_;
      Began(i);
    }
  }

  // Whether what is decided depends on when the running ones end: where a gang may hold slots, and
  // where a run may be long beside the open work. Otherwise that need not be kept up to date.
  bool RemainingTimesMatter() const {
    if (gangs_waiting_ > 0) return true;
    for (const auto& [kind, durations] : durations_) {
      if (durations.empty()) continue;
      // Half: far enough from the scheduler's own threshold, whatever it rounds.
      const double backlog = backlog_.at(kind).Seconds(now_) / schedule::kRuntimeMargin;
      if (*durations.rbegin() > backlog / 2) return true;
    }
    return false;
  }

  void AddWaiting(size_t i, double duration, int sign) {
    const RunToPlace& run = runs_[i];
    backlog_[run.kind].waiting += sign * duration * run.ranks;
    std::multiset<double>& durations = durations_[run.kind];
    if (sign > 0) {
      durations.insert(duration);
    } else {
      durations.erase(durations.find(duration));
    }
  }

  void Began(size_t i) {
    const RunToPlace& run = runs_[i];
    ends_[i] = now_ + run.seconds;
    running_[RunId(i)] = ends_[i];
    events_.emplace(ends_[i], i);
    backlog_[run.kind].ends += ends_[i] * run.ranks;
    backlog_[run.kind].running_ranks += run.ranks;
    for (const size_t dependent : dependents_[i]) {
      events_.emplace(now_ + runs_[dependent].after_seconds, dependent);
    }
  }
  void Ended(size_t i) {
    const RunToPlace& run = runs_[i];
    scheduler_.RemoveRun(RunId(i));
    running_.erase(RunId(i));
    backlog_[run.kind].ends -= ends_[i] * run.ranks;
    backlog_[run.kind].running_ranks -= run.ranks;
  }
  void Unblock(size_t i) {
    scheduler_.ChangeRun(RunId(i), [&](schedule::RunState& run) {
      run.blocked.clear();
      AddWaiting(i, run.duration, 1);
    });
  }

  const std::vector<RunToPlace>& runs_;
  std::vector<double> ends_;                     // kNever: it has not begun
  std::vector<std::vector<size_t>> dependents_;  // the runs that start from its checkpoint
  schedule::Scheduler scheduler_;
  std::map<int64_t, double> running_;  // run_id -> end
  std::map<run::DeviceKind, Backlog> backlog_;
  std::map<run::DeviceKind, std::multiset<double>> durations_;  // of what could start, by kind
  // A run's end, or the moment when the checkpoint that it starts from is there.
  using Event = std::pair<double, size_t>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  size_t waiting_ = 0;
  size_t gangs_waiting_ = 0;
  double now_ = 0;
};

}  // namespace

std::optional<double> Makespan(const std::vector<RunToPlace>& runs,
                               const std::vector<WorkerSlots>& workers) {
  return Simulation(runs, workers).ToTheEnd();
}

}  // namespace allometry::cost
