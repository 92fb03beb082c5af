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

bool QueuedRun::operator<(const QueuedRun& other) const {
  return std::make_tuple(-duration, -flops_remaining, run_id) <
         std::make_tuple(-other.duration, -other.flops_remaining, other.run_id);
}

bool WaitingGang::operator<(const WaitingGang& other) const {
  return std::tie(waiting_since_ns, run_id) < std::tie(other.waiting_since_ns, other.run_id);
}

const Need* Queues::Interned(const Need& need) { return &*needs_.insert(need).first; }

int64_t Queues::ShareOf(int64_t sweep_id) const {
  const auto share = shares_.find(sweep_id);
  return share == shares_.end() ? 0 : share->second;
}

void Queues::SetShare(int64_t sweep_id, int64_t slots) {
  const int64_t before = ShareOf(sweep_id);
  if (slots == before) return;
  for (auto& [priority, level] : levels_) {
    const auto sweep = level.sweeps.find(sweep_id);
    if (sweep == level.sweeps.end()) continue;
    for (const auto& [need, line] : sweep->second) {
      auto entry = level.needs.at(need).by_share.extract({before, sweep_id});
      entry.key().first = slots;
      level.needs.at(need).by_share.insert(std::move(entry));
    }
  }
  if (slots == 0) {
    shares_.erase(sweep_id);
  } else {
    shares_[sweep_id] = slots;
  }
}

namespace {

// Takes the line out of the index while it changes, and puts it back, unless it is empty.
class Reindexed {
 public:
  Reindexed(Queues::Level& level, const Need* need, const ShareKey& key, const RunQueue& line)
      : level_(level), need_(need), key_(key), line_(line) {
    if (line.empty()) return;
    Queues::QueuesOfNeed& lines = level.needs.at(need);
    lines.by_longest.erase({-line.begin()->duration, key.second});
    lines.by_shortest.erase({line.rbegin()->duration, key.second});
  }
  ~Reindexed() {
    Queues::QueuesOfNeed& lines = level_.needs[need_];
    if (line_.empty()) {
      lines.by_share.erase(key_);
      if (lines.by_share.empty()) level_.needs.erase(need_);
    } else {
      lines.by_longest.insert({-line_.begin()->duration, key_.second});
      lines.by_shortest.insert({line_.rbegin()->duration, key_.second});
      lines.by_share.emplace(key_, &line_);
    }
  }
  Reindexed(const Reindexed&) = delete;
  Reindexed& operator=(const Reindexed&) = delete;

 private:
  Queues::Level& level_;
  const Need* const need_;
  const ShareKey key_;
  const RunQueue& line_;
};

}  // namespace

void Queues::Add(const RunState& run) {
  const Need* need = Interned(NeedOf(run));
  Level& level = levels_[run.priority];
  RunQueue& line = level.sweeps[run.sweep_id][need];
  {
    const Reindexed reindexed(level, need, {ShareOf(run.sweep_id), run.sweep_id}, line);
    const bool is_new = line.insert({run.duration, run.flops_remaining, run.run_id, &run}).second;
    ALLO_CHECK(is_new) << "run " << run.run_id << " waits twice";
  }
  if (run.ranks > 1) level.gangs[need].insert({run.waiting_since_ns, run.run_id, &run});
}

void Queues::Remove(const RunState& run) {
  const Need* need = Interned(NeedOf(run));
  const auto level = levels_.find(run.priority);
  const auto sweep = level->second.sweeps.find(run.sweep_id);
  const auto line = sweep->second.find(need);
  {
    const Reindexed reindexed(level->second, need, {ShareOf(run.sweep_id), run.sweep_id},
                              line->second);
    const size_t erased = line->second.erase({run.duration, run.flops_remaining, run.run_id, &run});
    ALLO_CHECK(erased == 1) << "run " << run.run_id << " changed while it waited";
  }
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
