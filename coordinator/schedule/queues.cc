#include "coordinator/schedule/queues.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/check.h"

namespace allometry::schedule {

bool GoesFirst(const RunState& a, const RunState& b) {
  const auto octave = [](const RunState& run) {
    return std::ilogb(std::max(0.0, run.duration) * run.ranks);
  };
  return std::make_tuple(b.ahead, octave(b), b.ranks, b.duration, b.flops_remaining, a.run_id) <
         std::make_tuple(a.ahead, octave(a), a.ranks, a.duration, a.flops_remaining, b.run_id);
}

bool InLine::operator<(const InLine& other) const {
  return std::make_tuple(-duration, -flops_remaining, run_id) <
         std::make_tuple(-other.duration, -other.flops_remaining, other.run_id);
}

bool Aged::operator<(const Aged& other) const {
  return std::tie(waiting_since_ns, run_id) < std::tie(other.waiting_since_ns, other.run_id);
}

const Need* Queues::Interned(const Need& need) { return &*needs_.insert(need).first; }

void Queues::Add(const RunState& run) {
  const Need* need = Interned(NeedOf(run));
  Level& level = levels_[run.priority];
  const bool is_new = level.sweeps[run.sweep_id][need]
                          .insert({run.duration, run.flops_remaining, run.run_id, &run})
                          .second;
  ALLO_CHECK(is_new) << "run " << run.run_id << " waits twice";
  if (run.ranks > 1) level.gangs[need].insert({run.waiting_since_ns, run.run_id, &run});
}

void Queues::Remove(const RunState& run) {
  const Need* need = Interned(NeedOf(run));
  const auto level = levels_.find(run.priority);
  const auto sweep = level->second.sweeps.find(run.sweep_id);
  const auto line = sweep->second.find(need);
  const size_t erased = line->second.erase({run.duration, run.flops_remaining, run.run_id, &run});
  ALLO_CHECK(erased == 1) << "run " << run.run_id << " changed while it waited";
  if (run.ranks > 1) {
    const auto gangs = level->second.gangs.find(need);
    gangs->second.erase({run.waiting_since_ns, run.run_id, &run});
    if (gangs->second.empty()) level->second.gangs.erase(gangs);
  }
  if (line->second.empty()) sweep->second.erase(line);
  if (sweep->second.empty()) level->second.sweeps.erase(sweep);
  if (level->second.sweeps.empty()) levels_.erase(level);
}

}  // namespace allometry::schedule
