// What workers and the network do to the runs of a simulation.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/schedule/cluster_builder.h"
#include "tests/schedule/simulation.h"

namespace allometry::schedule {
namespace {

constexpr double kLease_s = 30, kHeartbeat_s = 1;

}  // namespace

void Simulation::MakeWorkers() {
  workers_.resize(static_cast<size_t>(options_.workers));
  int sizes = 1;
  while (1 << sizes <= options_.max_slots) ++sizes;
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    AgentState& agent = worker.agent;
    agent.agent_id = absl::StrCat("w", i);
    agent.host = absl::StrCat("host-", i);
    agent.run_root_id = absl::StrCat("root-", i % 7);
    agent.dataset_hashes = {ClusterBuilder::kDataset};
    agent.live = true;
    const int slots = i == 0 ? options_.max_slots : 1 << Below(sizes);
    for (int slot = 0; slot < slots; ++slot) {
      agent.slots.push_back(MakeSlot(agent.host, absl::StrCat("cuda:", slot)));
      agent.slots.back().set_runs(options_.runs_per_slot);
      agent.slots.back().set_memory_bytes(kSimulatedMemory);
    }
    worker.devices.resize(agent.slots.size());
    capacity_ += slots;
    const auto id = static_cast<int64_t>(i);
    if (i > 0 && Uniform() < options_.late) {
      worker.up = false;
      const double joins = 2000 * Uniform();
      Lost(worker, 0, joins);
      Schedule(joins, Kind::kBack, id);
    } else {
      Join(worker);
    }
    if (options_.crash_every_s > 0) Schedule(After(options_.crash_every_s), Kind::kCrash, id);
    if (options_.cut_every_s > 0) Schedule(After(options_.cut_every_s), Kind::kCut, id);
  }
}

void Simulation::Join(Worker& worker) {
  worker.up = true;
  worker.cut = worker.missed = false;
  if (options_.probation > 0 && Uniform() < options_.probation) {
    worker.agent.probation = "it may be broken";
  }
  scheduler_.PutAgent(worker.agent);
}

void Simulation::Lost(const Worker& worker, double from, double to) {
  lost_.push_back({{from, to}, static_cast<double>(worker.devices.size())});
}

std::vector<int64_t> Simulation::PlacedOn(const Worker& worker) const {
  std::set<int64_t> placed;
  for (const Device& device : worker.devices) {
    placed.insert(device.claims.begin(), device.claims.end());
  }
  return {placed.begin(), placed.end()};
}

void Simulation::Crash(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  if (!worker.up || worker.cut) return;
  ++result_.crashes;
  worker.up = false;
  ++worker.epoch;
  for (const int64_t run_id : PlacedOn(worker)) {
    Job& job = jobs_.at(run_id);
    if (!job.training) continue;
    Settle(job);
    EndTraining(job);
    const double durable = DurableLeft(job);
    job.redone += durable - job.left;
    job.left = durable;
    job.placed_at = now_;
  }
  const double back = now_ + 5 + 600 * Uniform();
  Lost(worker, now_, back);
  if (back > now_ + kLease_s) Schedule(now_ + kLease_s, Kind::kMissed, id, worker.epoch);
  Schedule(back, Kind::kBack, id);
}

// The agent starts and gives back what it had.
void Simulation::ComeBack(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  ++worker.epoch;
  for (const int64_t run_id : PlacedOn(worker)) {
    Job& job = jobs_.at(run_id);
    job.idle += now_ - job.placed_at;
    WaitAgain(job, job.left);
  }
  Join(worker);
}

void Simulation::CutOff(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  if (!worker.up || worker.cut) return;
  ++result_.cuts;
  worker.cut = true;
  worker.cut_at = now_;
  ++worker.epoch;
  worker.unheard.clear();
  for (const int64_t run_id : PlacedOn(worker)) {
    Job& job = jobs_.at(run_id);
    if (!job.training) continue;
    Settle(job);
    worker.unheard[run_id] = {job.attempt, DurableLeft(job), 0, false};
  }
  const double heals = now_ + 90 * Uniform();
  Lost(worker, now_, heals);
  Schedule(now_ + kLease_s - kHeartbeat_s * Uniform(), Kind::kOwnDeadline, id, worker.epoch);
  Schedule(now_ + kLease_s, Kind::kMissed, id, worker.epoch);
  Schedule(heals, Kind::kHeal, id, worker.epoch);
}

// Its trainers wrote a checkpoint at two thirds of the lease, and stop.
void Simulation::OwnDeadline(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  for (const auto& [run_id, unheard] : worker.unheard) {
    Job& job = jobs_.at(run_id);
    if (!job.training) continue;
    Settle(job);
    const double again = std::min(job.from - job.left, job.rate * kLease_s / 3);
    EndTraining(job);
    job.left += again;
    job.redone += again;
    job.placed_at = now_;
  }
}

// The coordinator has not heard of it for a lease.
void Simulation::Missed(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  worker.missed = true;
  for (const int64_t run_id : PlacedOn(worker)) {
    Job& job = jobs_.at(run_id);
    if (job.training) Fail(absl::StrCat("run ", run_id, " still trains when its lease is over"));
    job.idle += now_ - job.placed_at;
    double known = job.left;
    if (const auto unheard = worker.unheard.find(run_id); unheard != worker.unheard.end()) {
      known = unheard->second.known;
      unheard->second.left = job.left;
      job.redone += known - job.left;
    }
    WaitAgain(job, known);
  }
  scheduler_.RemoveAgent(worker.agent.agent_id);
}

void Simulation::Heal(int64_t id) {
  Worker& worker = workers_[static_cast<size_t>(id)];
  const bool missed = worker.missed;
  ++worker.epoch;
  worker.cut = false;
  for (const auto& [run_id, unheard] : std::exchange(worker.unheard, {})) {
    Job& job = jobs_.at(run_id);
    // Its run was given away, or has ended elsewhere: what it says is refused.
    if (job.attempt != unheard.attempt || !job.waits()) {
      ++result_.given_away;
      continue;
    }
    if (missed) {
      job.redone -= job.left - unheard.left;
      job.left = unheard.left;
      scheduler_.SetRemaining(run_id, job.left * job.wrong, job.left * job.wrong);
    }
    if (unheard.ended) {
      // Placed still, or waiting: it is done.
      if (missed) {
        for (const size_t place : job.devices) worker.devices[place].claims.push_back(run_id);
      }
      Finish(job);
    } else if (!missed && !job.training) {
      job.idle += now_ - job.placed_at;
      WaitAgain(job, job.left);
    }
  }
  if (missed) return Join(worker);
  // What it was given meanwhile.
  for (const int64_t run_id : PlacedOn(worker)) {
    Job& job = jobs_.at(run_id);
    if (!job.training) BeginTraining(job);
  }
}

}  // namespace allometry::schedule
