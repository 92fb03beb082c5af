#include "coordinator/schedule/scheduling_pass.h"

#include <algorithm>
#include <queue>

#include "absl/strings/str_format.h"
#include "coordinator/schedule/reasons.h"

namespace allometry::schedule {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();
constexpr double kNever = -kForever;

// Such a sweep keeps its own order: what is ahead decides what else there is to train.
bool HasAhead(const std::map<const Need*, RunQueue>& queues) {
  return std::any_of(queues.begin(), queues.end(),
                     [](const auto& queue) { return queue.first->ahead; });
}

}  // namespace

SchedulingPass::SchedulingPass(CapacityIndex& capacity, const Queues& queues,
                               std::map<int64_t, int64_t>& shares, const LeasedStarts& leased,
                               const OpenWork& open_work, int64_t now_ns, const Options& options)
    : capacity_(capacity),
      queues_(queues),
      shares_(shares),
      leased_(leased),
      now_ns_(now_ns),
      options_(options) {
  for (const auto& [kind, work] : open_work)
    backlog_times_[kind] = capacity.BacklogTime(kind, work.value());
}

SchedulingPass::~SchedulingPass() {
  capacity_.UnblockSharing();
  capacity_.Unreserve();
  for (const RunState* victim : asked_) capacity_.SetAsked(*victim, false);
  for (const auto& [run, choice] : taken_) {
    capacity_.GiveBack(*run, choice);
    shares_[run->sweep_id] -= run->ranks;
  }
}

Decision SchedulingPass::Run() {
  for (const auto& [priority, level] : queues_.levels()) {
    TryLongRuns(level, /*longer_than_backlog=*/true);
    TryImpatientGangs(level);
    TryLongRuns(level, /*longer_than_backlog=*/false);
    BlockSharingForLongRuns(level);
    TryAll(level);
  }
  return std::move(decision_);
}

double SchedulingPass::LongRunThreshold(const Need& need) const {
  return BacklogTime(need) / (capacity_.MayShare(need) ? kSharedSpeedup : kRuntimeMargin);
}

void SchedulingPass::BlockSharingForLongRuns(const Queues::Level& level) {
  struct Waiting {
    int64_t memory_bytes = 0;  // the most of one
    size_t count = 0;
  };
  std::map<Need, Waiting> long_runs;  // by need, without the memory
  for (const auto& [need, in_line] : level.needs) {
    if (need->ranks > 1 || !capacity_.MayShare(*need)) continue;
    const double long_from = LongRunThreshold(*need);
    Need kind = *need;
    kind.memory_bytes = 0;
    kind.max_sharers = 1;
    for (const auto& [minus_duration, sweep_id] : in_line.by_longest) {
      if (-minus_duration <= long_from) break;
      const std::map<const Need*, RunQueue>& queues = level.sweeps.at(sweep_id);
      if (HasAhead(queues)) continue;
      const RunQueue& queue = queues.at(need);
      size_t count = 0;
      for (auto run = queue.begin(); run != queue.end() && run->duration > long_from; ++run) {
        count += started_.count(run->run_id) == 0;
      }
      if (count == 0) continue;
      Waiting& waiting = long_runs[kind];
      waiting.memory_bytes = std::max(waiting.memory_bytes, need->memory_bytes);
      waiting.count += count;
    }
  }
  for (const auto& [kind, waiting] : long_runs) {
    Need need = kind;
    need.memory_bytes = waiting.memory_bytes;
    capacity_.BlockSharing(need, waiting.count);
  }
}

bool SchedulingPass::IsImpatient(const RunState& run) const {
  return run.ranks > 1 && now_ns_ - run.waiting_since_ns >= options_.gang_patience_ns;
}

void SchedulingPass::TryImpatientGangs(const Queues::Level& level) {
  struct Front {
    const Need* need;
    std::set<WaitingGang>::const_iterator next, end;
    bool operator<(const Front& other) const { return *other.next < *next; }
  };
  std::priority_queue<Front> fronts;  // the one that has waited longest is its top
  for (const auto& [need, gangs] : level.gangs) {
    if (!gangs.empty()) fronts.push({need, gangs.begin(), gangs.end()});
  }
  while (!fronts.empty()) {
    Front front = fronts.top();
    const RunState& run = *front.next->run;
    if (!IsImpatient(run)) return;
    fronts.pop();
    if (refused_.count(front.need) > 0) continue;
    if (started_.count(run.run_id) == 0 && !TryToStart(run, front.need)) {
      Refuse(run, front.need, nullptr, {});
      continue;
    }
    if (++front.next != front.end) fronts.push(front);
  }
}

bool SchedulingPass::GoesLater(const Cursor& a, const Cursor& b) {
  return GoesFirst(*b.next->run, *a.next->run);
}

bool SchedulingPass::SkipKnown(Cursor& cursor) const {
  const RunQueue& queue = *cursor.queue;
  const auto refused = refused_.find(cursor.need);
  while (cursor.next != queue.end() && cursor.next->duration > cursor.longer_than) {
    if (refused != refused_.end() && cursor.next->duration > refused->second) {
      if (refused->second == kNever) return false;
      cursor.next = queue.lower_bound({refused->second, kForever, 0, nullptr});
    } else if (!started_.empty() && started_.count(cursor.next->run_id) > 0) {
      ++cursor.next;
    } else {
      return true;
    }
  }
  return false;
}

std::optional<SchedulingPass::Cursor> SchedulingPass::Pop(std::vector<Cursor>& cursors) const {
  while (!cursors.empty()) {
    std::pop_heap(cursors.begin(), cursors.end(), GoesLater);
    Cursor cursor = cursors.back();
    cursors.pop_back();
    const RunState* run = cursor.next->run;
    if (!SkipKnown(cursor)) continue;
    if (cursor.next->run == run) return cursor;
    cursors.push_back(cursor);
    std::push_heap(cursors.begin(), cursors.end(), GoesLater);
  }
  return std::nullopt;
}

int64_t SchedulingPass::ShareOf(int64_t sweep_id) const {
  const auto share = shares_.find(sweep_id);
  return share == shares_.end() ? 0 : share->second;
}

bool SchedulingPass::IsRefused(const Need* need) const {
  const auto refused = refused_.find(need);
  return refused != refused_.end() && refused->second == kNever;
}

std::vector<SchedulingPass::Cursor> SchedulingPass::CursorsOf(const Queues::Level& level,
                                                              const SweepOrder& order,
                                                              int64_t sweep_id) const {
  std::vector<Cursor> cursors;
  for (const auto& [need, queue] : level.sweeps.at(sweep_id)) {
    const double longer_than = order.LongerThan(need);
    if (queue.begin()->duration <= longer_than || IsRefused(need)) continue;
    cursors.push_back({need, &queue, queue.begin(), longer_than});
  }
  std::make_heap(cursors.begin(), cursors.end(), GoesLater);
  return cursors;
}

bool SchedulingPass::TryNext(std::vector<Cursor>& cursors) {
  const std::optional<Cursor> first = Pop(cursors);
  if (!first.has_value()) return false;
  const RunState& run = *first->next->run;
  if (!TryToStart(run, first->need)) Refuse(run, first->need, first->queue, first->next);
  Cursor next = *first;
  if (++next.next == next.queue->end()) return true;
  cursors.push_back(next);
  std::push_heap(cursors.begin(), cursors.end(), GoesLater);
  return true;
}

void SchedulingPass::TryInTurn(const Queues::Level& level,
                               absl::FunctionRef<double(const Need&)> longer_than,
                               bool keeps_order_of_ahead) {
  SweepOrder order(queues_, level, refused_, longer_than);
  // Of sweeps that were looked at, and of those whose place in the order is not true any more.
  std::map<ShareKey, std::vector<Cursor>> turns;
  const auto look_at = [&](int64_t sweep_id) {
    if (!order.Take(sweep_id)) return;
    const auto sweep = level.sweeps.find(sweep_id);
    if (sweep == level.sweeps.end()) return;
    if (keeps_order_of_ahead && HasAhead(sweep->second)) return;
    turns.emplace(ShareKey{ShareOf(sweep_id), sweep_id}, CursorsOf(level, order, sweep_id));
  };
  for (const int64_t sweep_id : started_sweeps_) look_at(sweep_id);
  for (;;) {
    const std::optional<ShareKey> next = order.First();
    if (next.has_value() && (turns.empty() || *next < turns.begin()->first)) {
      look_at(next->second);
      continue;
    }
    if (turns.empty()) return;
    auto turn = turns.extract(turns.begin());
    if (!TryNext(turn.mapped())) continue;
    turn.key().first = ShareOf(turn.key().second);
    turns.insert(std::move(turn));
  }
}

void SchedulingPass::TryLongRuns(const Queues::Level& level, bool longer_than_backlog) {
  const auto longer_than = [&](const Need& need) {
    return longer_than_backlog ? BacklogTime(need) : LongRunThreshold(need);
  };
  TryInTurn(level, longer_than, /*keeps_order_of_ahead=*/true);
}

void SchedulingPass::TryAll(const Queues::Level& level) {
  TryInTurn(
      level, [](const Need&) { return kNever; }, /*keeps_order_of_ahead=*/false);
}

double SchedulingPass::BacklogTime(const Need& need) const {
  const auto found = backlog_times_.find(need.device);
  return found == backlog_times_.end() ? kForever : found->second;
}

bool SchedulingPass::TryToStart(const RunState& run, const Need* need) {
  std::optional<SlotChoice> choice = capacity_.Find(run, *need, BacklogTime(*need));
  if (!choice.has_value()) return false;
  Assignment assignment;
  assignment.run_id = run.run_id;
  assignment.agent_id = choice->pool->agent().agent_id;
  for (const size_t place : choice->places) {
    assignment.slots.push_back(choice->pool->places()[place].slot);
  }
  const Place& place = choice->pool->places()[choice->places.front()];
  if (!place.users.empty()) assignment.reason = WhyItShares(choice->pool->agent(), place, *need);
  capacity_.Take(run, *choice);
  shares_[run.sweep_id] += run.ranks;
  started_.insert(run.run_id);
  started_sweeps_.insert(run.sweep_id);
  taken_.emplace_back(&run, *std::move(choice));
  decision_.assignments.push_back(std::move(assignment));
  return true;
}

void SchedulingPass::Refuse(const RunState& run, const Need* need, const RunQueue* queue,
                            RunQueue::const_iterator place) {
  const bool was_reserved = capacity_.reservation().has_value();
  const bool shorter_may_borrow = was_reserved && capacity_.reservation()->backfill &&
                                  run.duration > capacity_.reservation()->ready;
  double until = shorter_may_borrow ? capacity_.reservation()->ready : kNever;
  // It may not share because of its own time.
  if (run.duration > BacklogTime(*need)) until = std::max(until, BacklogTime(*need));
  const bool is_first = refused_.insert_or_assign(need, until).second;
  if (run.ranks == 1) {
    // Each of those in queue may ask, until nobody can make room.
    for (; is_first && queue != nullptr && place != queue->end() && AskForRoom(*place->run, *need);
         ++place) {
    }
  } else if (!was_reserved) {
    AskForRoom(run, *need);
    capacity_.Reserve(run, *need, /*backfill=*/!IsImpatient(run));
  }
}

std::optional<int32_t> SchedulingPass::LowestToAsk(const RunState& run) const {
  for (const auto& [priority, starts] : leased_) {
    if (priority >= run.priority) break;
    if (*starts.begin() <= now_ns_ - options_.min_run_ns) return priority;
  }
  return std::nullopt;
}

bool SchedulingPass::IsWithoutRoom(const Need& need) const {
  return std::any_of(no_room_.begin(), no_room_.end(), [&](const Need& known) {
    return known.device == need.device && known.dataset_hash == need.dataset_hash &&
           known.root_id == need.root_id && known.avoided_host == need.avoided_host &&
           known.ranks <= need.ranks && capacity_.MemoryAsked(known) <= capacity_.MemoryAsked(need);
  });
}

bool SchedulingPass::AskForRoom(const RunState& run, const Need& need) {
  if (rooms_asked_ >= options_.max_preemptions || IsWithoutRoom(need)) return false;
  const std::optional<int32_t> lowest = LowestToAsk(run);
  if (!lowest.has_value()) return false;
  const std::vector<const RunState*> victims =
      capacity_.Victims(run, need, now_ns_ - options_.min_run_ns, *lowest);
  if (victims.empty()) {
    no_room_.push_back(need);
    return false;
  }
  ++rooms_asked_;
  for (const RunState* victim : victims) {
    capacity_.SetAsked(*victim, true);
    asked_.push_back(victim);
    decision_.preemptions.push_back(
        {victim->run_id, absl::StrFormat("makes room for run %d, which has priority %d against %d",
                                         run.run_id, run.priority, victim->priority)});
  }
  return true;
}

}  // namespace allometry::schedule
