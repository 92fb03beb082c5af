#include "tests/schedule/simulation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/decided.h"
#include "tests/schedule/plain_decide.h"

namespace allometry::schedule {
namespace {

constexpr double kProbation_s = 5;  // of training
constexpr double kShortest_s = 20;
constexpr double kDecades = 3.5;
constexpr double kProgressEvery_s = 60;  // that the coordinator hears of
constexpr double kFlopsPerSecond = 3.3e18;
constexpr double kCheckpointEvery = 60;               // of a run's cost
constexpr double kSpeeds[] = {0, 1, 1.6, 1.9, 1.75};  // of k runs together

double Speed(size_t sharers) { return kSpeeds[std::min(sharers, std::size(kSpeeds) - 1)]; }

}  // namespace

Simulation::Simulation(const SimulationOptions& options)
    : options_(options), random_(options.seed), has_pace_(options.first_pace_s <= 0) {
  MakeWorkers();
  MakeRuns();
}

void Simulation::Fail(const std::string& what) {
  if (result_.error.empty()) result_.error = absl::StrCat("at ", now_, " s: ", what);
}

void Simulation::MakeRuns() {
  for (int64_t id = 1; id <= options_.runs; ++id) {
    Job& job = jobs_[id];
    RunState& run = job.state;
    run.run_id = id;
    run.sweep_id = 1 + Below(options_.sweeps);
    run.priority = static_cast<int32_t>(run.sweep_id % options_.priorities);
    run.device = run::DeviceKind::kCuda;
    run.dataset = "text";
    run.dataset_hash = Below(10) == 0 ? "" : ClusterBuilder::kDataset;
    job.cost = kShortest_s * std::pow(10.0, kDecades * Uniform());
    if (Uniform() < options_.gangs) run.ranks = 1 << (1 + Below(3));
    run.ranks = std::min(run.ranks, options_.max_slots);
    job.cost = std::max(kShortest_s, job.cost / run.ranks);
    // Large models are slow and large; the measured peak scatters.
    const double size = std::log10(job.cost / kShortest_s) / kDecades;
    run.memory_bytes = static_cast<int64_t>(1e9 + 70e9 * size * size * (0.5 + 0.5 * Uniform()));
    // By id, not by chance: the other draws of a seed stay as they are.
    run.ahead = options_.ahead > 0 &&
                std::fmod(static_cast<double>(id) * options_.ahead, 1.0) < options_.ahead;
    if (run.ranks == 1) {
      const int64_t fit = kSimulatedMemory / RoundedMemory(run.memory_bytes);
      const int64_t together = std::min<int64_t>({fit, options_.runs_per_slot, 3});
      job.best_speed = Speed(static_cast<size_t>(std::max<int64_t>(1, together)));
    }
    job.left = job.cost;
    job.wrong = std::pow(options_.wrong_by, 2 * Uniform() - 1);
    if (id > 10 && Uniform() < options_.children) {
      // As a decay branch is to its trunk.
      Job& parent = jobs_.at(1 + Below(static_cast<int>(id) - 1));
      if (parent.parent == 0) {
        job.parent = parent.state.run_id;
        run.sweep_id = parent.state.sweep_id;
        run.priority = parent.state.priority;
        job.cost = job.left = std::max(kShortest_s, 0.2 * parent.cost * Uniform());
        children_[job.parent].push_back(id);
      }
    }
  }
  open_ = options_.runs;
  for (int64_t sweep = 1; sweep <= options_.sweeps; ++sweep) {
    const bool later = options_.crash_every_s > 0 && sweep > 1;
    Schedule(later ? 1000 * Uniform() : 0, Kind::kArrive, sweep);
  }
}

void Simulation::Schedule(double time, Kind kind, int64_t id, int64_t version) {
  events_.push({time, ++order_, kind, id, version});
}

SimulationResult Simulation::Run() {
  const int64_t most = 200LL * (options_.runs + options_.workers) + 100'000;
  for (int64_t steps = 0; open_ > 0 && result_.error.empty(); ++steps) {
    if (steps > most) Fail(absl::StrCat(open_, " runs do not end"));
    if (events_.empty()) {
      Fail(absl::StrCat(open_, " runs wait, and nothing happens any more"));
      break;
    }
    now_ = events_.top().time;
    while (!events_.empty() && events_.top().time == now_) {
      const Event event = events_.top();
      events_.pop();
      Happen(event);
    }
    Decide();
  }
  result_.makespan = now_;
  CheckTheEnd();
  return result_;
}

void Simulation::Happen(const Event& event) {
  switch (event.kind) {
    case Kind::kFinish: {
      Job& job = jobs_.at(event.id);
      if (job.training && job.version == event.version) {
        Settle(job);
        Finish(job);
      }
      return;
    }
    case Kind::kStopped: {
      Job& job = jobs_.at(event.id);
      const auto run = scheduler_.state().runs.find(event.id);
      if (run == scheduler_.state().runs.end() || job.attempt != event.version ||
          !run->second.placement.has_value()) {
        return;
      }
      const Worker& worker = workers_[static_cast<size_t>(job.worker)];
      if (worker.cut || !worker.up)
        return Schedule(now_ + 5, Kind::kStopped, event.id, event.version);
      Settle(job);
      EndTraining(job);
      WaitAgain(job, job.left);
      return;
    }
    case Kind::kArrive:
      return Arrive(event.id);
    case Kind::kProven: {
      Worker& worker = workers_[static_cast<size_t>(event.id)];
      worker.agent.probation.clear();
      if (scheduler_.state().agents.count(worker.agent.agent_id) > 0) {
        scheduler_.PutAgent(worker.agent);
      }
      return;
    }
    case Kind::kCrash:
      Schedule(After(options_.crash_every_s), Kind::kCrash, event.id);
      return Crash(event.id);
    case Kind::kBack:
      return ComeBack(event.id);
    case Kind::kCut:
      Schedule(After(options_.cut_every_s), Kind::kCut, event.id);
      return CutOff(event.id);
    case Kind::kOwnDeadline:
    case Kind::kMissed:
    case Kind::kHeal:
      if (workers_[static_cast<size_t>(event.id)].epoch != event.version) return;
      if (event.kind == Kind::kOwnDeadline) return OwnDeadline(event.id);
      if (event.kind == Kind::kMissed) return Missed(event.id);
      return Heal(event.id);
  }
}

void Simulation::Decide() {
  const bool compare = ++decisions_ % options_.compare_every == 0;
  const bool first_pace = !has_pace_ && now_ >= options_.first_pace_s;
  if (compare || first_pace || now_ >= refresh_at_) RefreshExpectations();
  const Decision decision = scheduler_.Decide(NowNanos());
  if (compare) {
    const std::string plain = Text(PlainDecide(scheduler_.state(), NowNanos()));
    if (plain != Text(decision)) {
      Fail(absl::StrCat("decided\n", Text(decision), "the plain oracle\n", plain));
    }
  }
  for (const Assignment& start : decision.assignments) Start(start);
  for (const Preemption& preemption : decision.preemptions) {
    const RunState& victim = scheduler_.state().runs.at(preemption.run_id);
    if (!victim.placement.has_value() || victim.stopping)
      Fail("a run that does not run is stopped");
    scheduler_.ChangeRun(preemption.run_id, [](RunState& run) { run.stopping = true; });
    ++result_.preempted;
    Schedule(now_ + 1 + 9 * Uniform(), Kind::kStopped, preemption.run_id,
             jobs_.at(preemption.run_id).attempt);
  }
}

// --- Runs ---

void Simulation::Arrive(int64_t sweep_id) {
  for (auto& [id, job] : jobs_) {
    if (job.state.sweep_id != sweep_id) continue;
    job.arrived = job.available = now_;
    Submit(job);
  }
}

void Simulation::Submit(Job& job) {
  RunState run = job.state;
  run.waiting_since_ns = NowNanos();
  run.duration = run.flops_remaining = Expected(job, job.left);
  if (job.parent != 0 && jobs_.at(job.parent).waits()) {
    run.blocked = absl::StrCat("needs the checkpoint of run ", job.parent);
  }
  scheduler_.PutRun(std::move(run));
}

void Simulation::CheckPlace(const Job& job, const Worker& worker,
                            const std::vector<size_t>& devices) {
  if (devices.size() != static_cast<size_t>(job.state.ranks)) Fail("a gang is not complete");
  for (const size_t place : devices) {
    const std::vector<int64_t>& claims = worker.devices[place].claims;
    const std::string where = absl::StrCat("slot ", place, " of ", worker.agent.agent_id);
    if (claims.empty()) continue;
    if (job.state.ranks > 1 || jobs_.at(claims.front()).state.ranks > 1) {
      Fail(absl::StrCat(where, " is assigned twice, with a gang on it"));
    }
    if (static_cast<int32_t>(claims.size()) >= options_.runs_per_slot) {
      Fail(absl::StrCat(where, " has too many runs"));
    }
    int64_t memory = job.state.memory_bytes;
    for (const int64_t other : claims) memory += jobs_.at(other).state.memory_bytes;
    if (memory > kSimulatedMemory) Fail(absl::StrCat(where, " has too little memory"));
    ++result_.shared;
  }
}

void Simulation::Start(const Assignment& start) {
  const auto found = jobs_.find(start.run_id);
  if (found == jobs_.end() || !found->second.waits()) return Fail("what has ended starts");
  Job& job = found->second;
  const RunState& run = scheduler_.state().runs.at(start.run_id);
  if (run.placement.has_value()) Fail(absl::StrCat("run ", start.run_id, " is assigned twice"));
  if (!run.blocked.empty()) Fail(absl::StrCat("blocked run ", start.run_id, " starts"));
  const auto worker = std::find_if(workers_.begin(), workers_.end(), [&](const Worker& one) {
    return one.agent.agent_id == start.agent_id;
  });
  job.worker = static_cast<int>(worker - workers_.begin());
  job.devices.clear();
  for (const v1::Slot& slot : start.slots) {
    if (slot.host() != worker->agent.host) Fail("a gang is on two workers");
    job.devices.push_back(static_cast<size_t>(std::stoi(slot.device().substr(5))));
  }
  CheckPlace(job, *worker, job.devices);
  if (!worker->agent.probation.empty() && !PlacedOn(*worker).empty()) {
    Fail(absl::StrCat(start.agent_id, " is on probation and has a run already"));
  }
  for (const size_t place : job.devices) worker->devices[place].claims.push_back(start.run_id);
  ++job.attempt;
  ++result_.starts;
  if (job.first_start < 0) job.first_start = now_;
  job.placed_at = now_;
  job.from = job.left;
  scheduler_.ChangeRun(start.run_id, [&](RunState& own) {
    own.placement = {job.attempt, start.agent_id, start.slots};
    own.started_ns = NowNanos();
  });
  // Otherwise the worker does not hear of it for now.
  if (worker->up && !worker->cut) BeginTraining(job);
}

void Simulation::BeginTraining(Job& job) {
  if (job.training) return Fail(absl::StrCat("run ", job.state.run_id, " runs twice at once"));
  job.idle += now_ - job.placed_at;
  job.training = true;
  job.since = now_;
  Worker& worker = workers_[static_cast<size_t>(job.worker)];
  for (const size_t place : job.devices) {
    std::vector<int64_t>& trainers = worker.devices[place].trainers;
    trainers.push_back(job.state.run_id);
    if (static_cast<int32_t>(trainers.size()) > options_.runs_per_slot) {
      Fail("more trainers than a device takes");
    }
  }
  for (const size_t place : job.devices) Repace(worker, place);
  if (!worker.agent.probation.empty()) Schedule(now_ + kProbation_s, Kind::kProven, job.worker);
}

void Simulation::Settle(Job& job) {
  if (!job.training) return;
  job.left = std::max(0.0, job.left - (now_ - job.since) * job.rate);
  job.since = now_;
}

void Simulation::Repace(Worker& worker, size_t device) {
  const std::vector<int64_t>& trainers = worker.devices[device].trainers;
  for (const int64_t id : trainers) {
    Job& job = jobs_.at(id);
    Settle(job);
    job.rate = Speed(trainers.size()) / static_cast<double>(trainers.size());
    const bool news = paces_.Measured(run::DeviceKind::kCuda, 1e6,
                                      static_cast<int32_t>(trainers.size()), job.rate);
    if (news) {
      const int32_t most = paces_.MostUsefulSharers(run::DeviceKind::kCuda, 1e6);
      for (auto& [other, all] : jobs_) {
        all.state.max_sharers = most;
        if (scheduler_.state().runs.count(other) == 0) continue;
        scheduler_.ChangeRun(other, [most](RunState& run) { run.max_sharers = most; });
      }
    }
    Schedule(now_ + job.left / job.rate, Kind::kFinish, id, ++job.version);
  }
}

void Simulation::EndTraining(Job& job) {
  if (!job.training) return;
  job.training = false;
  ++job.version;
  Worker& worker = workers_[static_cast<size_t>(job.worker)];
  for (const size_t place : job.devices) {
    std::vector<int64_t>& trainers = worker.devices[place].trainers;
    trainers.erase(std::find(trainers.begin(), trainers.end(), job.state.run_id));
    Repace(worker, place);
  }
}

void Simulation::Finish(Job& job) {
  EndTraining(job);
  if (Worker& worker = workers_[static_cast<size_t>(job.worker)]; worker.cut) {
    worker.unheard.at(job.state.run_id).ended = true;
    return;
  }
  if (++job.ends > 1) Fail(absl::StrCat("run ", job.state.run_id, " ends twice"));
  --open_;
  Unclaim(job);
  scheduler_.RemoveRun(job.state.run_id);
  for (const int64_t child : children_[job.state.run_id]) {
    if (scheduler_.state().runs.count(child) == 0) continue;
    jobs_.at(child).available = now_;
    scheduler_.ChangeRun(child, [&](RunState& run) {
      run.blocked.clear();
      run.waiting_since_ns = NowNanos();
    });
  }
}

void Simulation::Unclaim(Job& job) {
  for (const size_t place : job.devices) {
    std::vector<int64_t>& claims = workers_[static_cast<size_t>(job.worker)].devices[place].claims;
    claims.erase(std::find(claims.begin(), claims.end(), job.state.run_id));
  }
}

void Simulation::WaitAgain(Job& job, double left) {
  Unclaim(job);
  job.left = left;
  scheduler_.ChangeRun(job.state.run_id, [&](RunState& run) {
    run.placement.reset();
    run.stopping = false;
    run.started_ns = 0;
    run.waiting_since_ns = NowNanos();
    run.checkpoint_root_id = workers_[static_cast<size_t>(job.worker)].agent.run_root_id;
    run.duration = run.flops_remaining = Expected(job, job.left);
  });
}

double Simulation::DurableLeft(const Job& job) const {
  return job.from - std::floor((job.from - job.left) / kCheckpointEvery) * kCheckpointEvery;
}

double Simulation::Expected(const Job& job, double seconds) const {
  return seconds * job.wrong * (has_pace_ ? 1 : kFlopsPerSecond);
}

void Simulation::RefreshExpectations() {
  refresh_at_ = now_ + kProgressEvery_s;
  const bool first_pace = !has_pace_ && now_ >= options_.first_pace_s;
  has_pace_ = has_pace_ || first_pace;
  for (const auto& [id, run] : scheduler_.state().runs) {
    if (!run.placement.has_value() && !first_pace) continue;
    Job& job = jobs_.at(id);
    const double left =
        job.training ? std::max(0.0, job.left - (now_ - job.since) * job.rate) : job.left;
    const double expected = Expected(job, left);
    scheduler_.SetRemaining(id, expected, expected);
  }
}

// --- Checks ---

double Simulation::WorkOverCapacity(int32_t from_priority) const {
  double work = 0;
  for (const auto& [id, job] : jobs_) {
    if (job.state.priority < from_priority) continue;
    work += (job.cost + job.redone) * job.state.ranks / job.best_speed;
  }
  for (const auto& [window, slots] : lost_) {
    work += std::max(0.0, std::min(window.second, now_) - window.first) * slots;
  }
  return work / capacity_;
}

double Simulation::Bound() const {
  double bound = 0;
  for (int32_t priority = 0; priority < options_.priorities; ++priority) {
    double chain = 0;
    for (const auto& [id, job] : jobs_) {
      if (job.state.priority != priority) continue;
      double own = job.cost + job.redone + job.idle;
      if (job.parent != 0) {
        const Job& parent = jobs_.at(job.parent);
        own += parent.cost + parent.redone + parent.idle;
      }
      chain = std::max(chain, job.arrived + own);
    }
    const double work = priority + 1 == options_.priorities
                            ? WorkOverCapacity(priority)
                            : WorkOverCapacity(priority) - WorkOverCapacity(priority + 1);
    bound += std::max(chain, work);
  }
  return bound;
}

void Simulation::CheckTheEnd() {
  result_.bound = Bound();
  double longest = 0;
  for (const auto& [id, job] : jobs_) longest = std::max(longest, job.cost);
  std::map<int32_t, double> work;
  for (int32_t priority = 0; priority < options_.priorities; ++priority) {
    work[priority] = WorkOverCapacity(priority);
  }
  for (const auto& [id, job] : jobs_) {
    if (job.ends != 1 && result_.error.empty()) Fail(absl::StrCat("run ", id, " is lost"));
    const double within = work.at(job.state.priority) + longest;
    result_.late_start = std::max(result_.late_start, (job.first_start - job.available) / within);
  }
}

}  // namespace allometry::schedule
