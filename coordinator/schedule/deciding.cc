#include "coordinator/schedule/deciding.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "coordinator/schedule/reasons.h"

namespace allometry::schedule {
namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();
constexpr double kNever = -kForever;

// Such a sweep keeps its own order: what is ahead decides what else there is to train.
bool HasAhead(const std::map<const Need*, Line>& lines) {
  return std::any_of(lines.begin(), lines.end(),
                     [](const auto& line) { return line.first->ahead; });
}

}  // namespace

Deciding::Deciding(Fleet& fleet, const Queues& queues, std::map<int64_t, int64_t>& shares,
                   const LeasedStarts& leased, const std::map<std::string, double>& open_work,
                   int64_t now_ns, const Options& options)
    : fleet_(fleet),
      queues_(queues),
      shares_(shares),
      leased_(leased),
      now_ns_(now_ns),
      options_(options) {
  for (const auto& [kind, work] : open_work) all_work_[kind] = fleet.AllWork(kind, work);
}

Deciding::~Deciding() {
  fleet_.KeepNone();
  fleet_.Unreserve();
  for (const RunState* victim : asked_) fleet_.SetAsked(*victim, false);
  for (const auto& [run, spot] : taken_) {
    fleet_.GiveBack(*run, spot);
    shares_[run->sweep_id] -= run->ranks;
  }
}

Decision Deciding::Run() {
  for (const auto& [priority, level] : queues_.levels()) {
    TryInOrder(level, kLastOnes);
    TryImpatientGangs(level);
    TryInOrder(level, kLongOnes);
    KeepForLongOnes(level);
    TryInOrder(level, kAll);
  }
  return std::move(decision_);
}

double Deciding::LongFrom(const Need& need) const {
  return AllWork(need) / (fleet_.MayShare(need) ? kPaceTogether : kMayBeLonger);
}

void Deciding::KeepForLongOnes(const Queues::Level& level) {
  struct Waiting {
    int64_t memory_bytes = 0;  // the most of one
    size_t count = 0;
  };
  std::map<Need, Waiting> long_ones;  // by need, without the memory
  for (const auto& [sweep_id, lines] : level.sweeps) {
    if (HasAhead(lines)) continue;
    for (const auto& [need, line] : lines) {
      if (need->ranks > 1) continue;
      const double long_from = LongFrom(*need);
      if (line.begin()->duration <= long_from) continue;
      Need kind = *need;
      kind.memory_bytes = 0;
      kind.max_sharers = 1;
      size_t count = 0;
      for (auto run = line.begin(); run != line.end() && run->duration > long_from; ++run) {
        count += started_.count(run->run_id) == 0;
      }
      if (count == 0) continue;
      Waiting& waiting = long_ones[kind];
      waiting.memory_bytes = std::max(waiting.memory_bytes, need->memory_bytes);
      waiting.count += count;
    }
  }
  for (const auto& [kind, waiting] : long_ones) {
    Need need = kind;
    need.memory_bytes = waiting.memory_bytes;
    fleet_.Keep(need, waiting.count);
  }
}

bool Deciding::IsImpatient(const RunState& run) const {
  return run.ranks > 1 && now_ns_ - run.waiting_since_ns >= options_.gang_patience_ns;
}

void Deciding::TryImpatientGangs(const Queues::Level& level) {
  std::vector<std::pair<const Need*, std::set<Aged>::const_iterator>> fronts;
  for (const auto& [need, gangs] : level.gangs) fronts.emplace_back(need, gangs.begin());
  for (;;) {
    auto first = fronts.end();
    for (auto front = fronts.begin(); front != fronts.end(); ++front) {
      const auto end = level.gangs.at(front->first).end();
      while (front->second != end && started_.count(front->second->run_id) > 0) ++front->second;
      if (front->second == end || !IsImpatient(*front->second->run)) continue;
      if (refused_.count(front->first) > 0) continue;
      if (first == fronts.end() || *front->second < *first->second) first = front;
    }
    if (first == fronts.end()) return;
    const RunState& run = *first->second->run;
    ++first->second;
    if (!TryToStart(run, first->first)) Refuse(run, first->first, nullptr, {});
  }
}

bool Deciding::GoesLater(const Cursor& a, const Cursor& b) {
  return GoesFirst(*b.next->run, *a.next->run);
}

bool Deciding::SkipKnown(Cursor& cursor) const {
  const Line& line = *cursor.line;
  const auto refused = refused_.find(cursor.need);
  while (cursor.next != line.end() && cursor.next->duration > cursor.longer_than) {
    if (refused != refused_.end() && cursor.next->duration > refused->second) {
      if (refused->second == kNever) return false;
      cursor.next = line.lower_bound({refused->second, kForever, 0, nullptr});
    } else if (!started_.empty() && started_.count(cursor.next->run_id) > 0) {
      ++cursor.next;
    } else {
      return true;
    }
  }
  return false;
}

std::optional<Deciding::Cursor> Deciding::Pop(std::vector<Cursor>& cursors) const {
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

void Deciding::TryInOrder(const Queues::Level& level, Which which) {
  std::map<int64_t, std::vector<Cursor>> sweeps;
  for (const auto& [sweep_id, lines] : level.sweeps) {
    if (which != kAll && HasAhead(lines)) continue;
    std::vector<Cursor> cursors;
    for (const auto& [need, line] : lines) {
      Cursor cursor{need, &line, line.begin(), kNever};
      if (which == kLastOnes) cursor.longer_than = AllWork(*need);
      if (which == kLongOnes) cursor.longer_than = LongFrom(*need);
      if (cursor.next->duration > cursor.longer_than) cursors.push_back(cursor);
    }
    if (cursors.empty()) continue;
    std::make_heap(cursors.begin(), cursors.end(), GoesLater);
    sweeps[sweep_id] = std::move(cursors);
  }
  while (!sweeps.empty()) {
    const auto least = std::min_element(
        sweeps.begin(), sweeps.end(),
        [this](const auto& a, const auto& b) { return shares_[a.first] < shares_[b.first]; });
    const std::optional<Cursor> first = Pop(least->second);
    if (!first.has_value()) {
      sweeps.erase(least);
      continue;
    }
    const RunState& run = *first->next->run;
    if (!TryToStart(run, first->need)) Refuse(run, first->need, first->line, first->next);
    Cursor next = *first;
    if (++next.next == next.line->end()) continue;
    least->second.push_back(next);
    std::push_heap(least->second.begin(), least->second.end(), GoesLater);
  }
}

double Deciding::AllWork(const Need& need) const {
  const auto found = all_work_.find(need.device);
  return found == all_work_.end() ? kForever : found->second;
}

bool Deciding::TryToStart(const RunState& run, const Need* need) {
  std::optional<Spot> spot = fleet_.Find(run, *need, AllWork(*need));
  if (!spot.has_value()) return false;
  Assignment assignment;
  assignment.run_id = run.run_id;
  assignment.agent_id = spot->pool->agent().agent_id;
  for (const size_t place : spot->places) {
    assignment.slots.push_back(spot->pool->places()[place].slot);
  }
  const Place& place = spot->pool->places()[spot->places.front()];
  if (!place.users.empty()) assignment.reason = WhyItShares(spot->pool->agent(), place, *need);
  fleet_.Take(run, *spot);
  shares_[run.sweep_id] += run.ranks;
  started_.insert(run.run_id);
  taken_.emplace_back(&run, *std::move(spot));
  decision_.assignments.push_back(std::move(assignment));
  return true;
}

void Deciding::Refuse(const RunState& run, const Need* need, const Line* line,
                      Line::const_iterator place) {
  const bool was_reserved = fleet_.reservation().has_value();
  const bool shorter_may_borrow =
      was_reserved && fleet_.reservation()->backfill && run.duration > fleet_.reservation()->ready;
  double until = shorter_may_borrow ? fleet_.reservation()->ready : kNever;
  // It may not share because of its own time.
  if (run.duration > AllWork(*need)) until = std::max(until, AllWork(*need));
  const bool is_first = refused_.insert_or_assign(need, until).second;
  if (run.ranks == 1) {
    // Each of those in line may ask, until nobody can make room.
    for (; is_first && line != nullptr && place != line->end() && AskForRoom(*place->run, *need);
         ++place) {
    }
  } else if (!was_reserved) {
    AskForRoom(run, *need);
    fleet_.Reserve(run, *need, /*backfill=*/!IsImpatient(run));
  }
}

std::optional<int32_t> Deciding::LowestToAsk(const RunState& run) const {
  for (const auto& [priority, starts] : leased_) {
    if (priority >= run.priority) break;
    if (*starts.begin() <= now_ns_ - options_.min_run_ns) return priority;
  }
  return std::nullopt;
}

bool Deciding::IsWithoutRoom(const Need& need) const {
  return std::any_of(no_room_.begin(), no_room_.end(), [&](const Need& known) {
    return known.device == need.device && known.dataset_hash == need.dataset_hash &&
           known.root_id == need.root_id && known.avoided_host == need.avoided_host &&
           known.ranks <= need.ranks && fleet_.MemoryAsked(known) <= fleet_.MemoryAsked(need);
  });
}

bool Deciding::AskForRoom(const RunState& run, const Need& need) {
  if (rooms_asked_ >= options_.max_preemptions || IsWithoutRoom(need)) return false;
  const std::optional<int32_t> lowest = LowestToAsk(run);
  if (!lowest.has_value()) return false;
  const std::vector<const RunState*> victims =
      fleet_.Victims(run, need, now_ns_ - options_.min_run_ns, *lowest);
  if (victims.empty()) {
    no_room_.push_back(need);
    return false;
  }
  ++rooms_asked_;
  for (const RunState* victim : victims) {
    fleet_.SetAsked(*victim, true);
    asked_.push_back(victim);
    decision_.preemptions.push_back(
        {victim->run_id, absl::StrFormat("makes room for run %d, which has priority %d against %d",
                                         run.run_id, run.priority, victim->priority)});
  }
  return true;
}

}  // namespace allometry::schedule
