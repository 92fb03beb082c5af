#include "coordinator/schedule/sweep_order.h"

#include <algorithm>
#include <limits>

namespace allometry::schedule {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();

// Whether the line has a run that takes longer than the one time and no longer than the other.
bool HasBetween(const RunQueue& line, double longer_than, double until) {
  if (until == kForever) return line.begin()->duration > longer_than;
  if (longer_than == -kForever) return line.rbegin()->duration <= until;
  const auto run = line.lower_bound({until, kForever, 0, nullptr});
  return run != line.end() && run->duration > longer_than;
}

}  // namespace

SweepOrder::SweepOrder(const Queues& queues, const Queues::Level& level, const Refused& refused,
                       absl::FunctionRef<double(const Need&)> longer_than)
    : queues_(queues), level_(level), refused_(refused) {
  for (const auto& [need, lines] : level.needs) {
    const double from = longer_than(*need);
    if (-lines.by_longest.begin()->first <= from || Until(need) <= from) continue;
    longer_than_[need] = from;
    heads_.push_back({need, &lines, from, kForever, lines.by_share.begin(), false, {}});
    if (from > -kForever) Gather(heads_.back());
  }
  for (size_t i = 0; i < heads_.size(); ++i) Push(i);
}

double SweepOrder::Until(const Need* need) const {
  const auto refused = refused_.find(need);
  return refused == refused_.end() ? kForever : refused->second;
}

double SweepOrder::LongerThan(const Need* need) const {
  const auto from = longer_than_.find(need);
  return from == longer_than_.end() ? kForever : from->second;
}

bool SweepOrder::MayTry(const Head& head, const ShareKey& key, const RunQueue& line) const {
  return taken_.count(key.second) == 0 && HasBetween(line, head.longer_than, head.until);
}

// By the lines' longest or shortest runs, where those say that they are few.
void SweepOrder::Gather(Head& head) const {
  constexpr size_t kFew = 16;
  std::vector<int64_t> sweeps;
  const auto gather = [&](const std::set<std::pair<double, int64_t>>& index, double most) {
    sweeps.clear();
    for (const auto& [time, sweep_id] : index) {
      if (time > most) return true;
      if (sweeps.size() == kFew) return false;
      sweeps.push_back(sweep_id);
    }
    return true;
  };
  // -duration < -longer_than is what is asked for; one that is equal falls out in Push.
  const bool are_few =
      (head.longer_than > -kForever && gather(head.lines->by_longest, -head.longer_than)) ||
      (head.until < kForever && gather(head.lines->by_shortest, head.until));
  if (!are_few) return;
  head.is_few = true;
  head.few.clear();
  for (const int64_t sweep_id : sweeps) {
    const ShareKey key{queues_.ShareOf(sweep_id), sweep_id};
    head.few.emplace_back(key, head.lines->by_share.at(key));
  }
  std::sort(head.few.begin(), head.few.end(), std::greater<>());
}

void SweepOrder::Push(size_t index) {
  Head& head = heads_[index];
  const double until = Until(head.need);
  if (until <= head.longer_than) return;
  if (until < head.until) {
    head.until = until;
    if (!head.is_few) Gather(head);
  }
  if (head.is_few) {
    while (!head.few.empty() && !MayTry(head, head.few.back().first, *head.few.back().second)) {
      head.few.pop_back();
    }
    if (!head.few.empty()) first_.emplace(head.few.back().first, index);
    return;
  }
  const auto end = head.lines->by_share.end();
  while (head.next != end && !MayTry(head, head.next->first, *head.next->second)) ++head.next;
  if (head.next != end) first_.emplace(head.next->first, index);
}

std::optional<ShareKey> SweepOrder::First() {
  while (!first_.empty()) {
    const auto [key, index] = first_.top();
    const Head& head = heads_[index];
    if (taken_.count(key.second) == 0 && Until(head.need) == head.until) return key;
    first_.pop();
    Push(index);
  }
  return std::nullopt;
}

}  // namespace allometry::schedule
