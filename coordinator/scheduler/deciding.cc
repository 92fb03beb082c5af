#include "coordinator/scheduler/deciding.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "coordinator/scheduler/reasons.h"

namespace allometry::scheduler {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

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
  fleet_.Unreserve();
  for (const RunState* victim : asked_) fleet_.SetAsked(*victim, false);
  for (const auto& [run, spot] : taken_) {
    fleet_.GiveBack(*run, spot);
    shares_[run->sweep_id] -= run->ranks;
  }
}

Decision Deciding::Run() {
  for (const auto& [priority, level] : queues_.levels()) {
    TryImpatientGangs(level);
    TryInOrder(level);
  }
  return std::move(decision_);
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
      if (front->second == end || !IsImpatient(*front->second->run) || IsDone(front->first)) {
        continue;
      }
      if (first == fronts.end() || *front->second < *first->second) first = front;
    }
    if (first == fronts.end()) return;
    const RunState& run = *first->second->run;
    ++first->second;
    if (!TryToStart(run, first->first)) Refuse(run, first->first, nullptr, {});
  }
}

void Deciding::SkipKnown(Cursor& cursor) const {
  const Line& line = *cursor.line;
  const auto refused = refused_.find(cursor.need);
  while (cursor.next != line.end()) {
    if (refused != refused_.end() && cursor.next->duration > refused->second) {
      constexpr double kMost = std::numeric_limits<double>::infinity();
      cursor.next = refused->second == kNever
                        ? line.end()
                        : line.lower_bound({refused->second, kMost, 0, nullptr});
    } else if (!started_.empty() && started_.count(cursor.next->run_id) > 0) {
      ++cursor.next;
    } else {
      return;
    }
  }
}

Deciding::Cursor* Deciding::First(std::vector<Cursor>& cursors) const {
  Cursor* first = nullptr;
  for (Cursor& cursor : cursors) {
    SkipKnown(cursor);
    if (cursor.next == cursor.line->end()) continue;
    if (first == nullptr || GoesFirst(*cursor.next->run, *first->next->run)) first = &cursor;
  }
  return first;
}

void Deciding::TryInOrder(const Queues::Level& level) {
  std::map<int64_t, std::vector<Cursor>> sweeps;
  for (const auto& [sweep_id, lines] : level.sweeps) {
    std::vector<Cursor>& cursors = sweeps[sweep_id];
    for (const auto& [need, line] : lines) cursors.push_back({need, &line, line.begin()});
  }
  while (!sweeps.empty()) {
    const auto least = std::min_element(
        sweeps.begin(), sweeps.end(),
        [this](const auto& a, const auto& b) { return shares_[a.first] < shares_[b.first]; });
    Cursor* first = First(least->second);
    if (first == nullptr) {
      sweeps.erase(least);
      continue;
    }
    const Line::const_iterator place = first->next++;
    if (!TryToStart(*place->run, first->need)) {
      Refuse(*place->run, first->need, first->line, place);
    }
  }
}

double Deciding::AllWork(const Need& need) const {
  const auto found = all_work_.find(need.device);
  return found == all_work_.end() ? -kNever : found->second;
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

bool Deciding::AskForRoom(const RunState& run, const Need& need) {
  if (rooms_asked_ >= options_.max_preemptions) return false;
  const std::optional<int32_t> lowest = LowestToAsk(run);
  if (!lowest.has_value()) return false;
  const std::vector<const RunState*> victims =
      fleet_.Victims(run, need, now_ns_ - options_.min_run_ns, *lowest);
  if (victims.empty()) return false;
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

}  // namespace allometry::scheduler
