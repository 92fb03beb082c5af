#include "coordinator/schedule/pool.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace allometry::schedule {
namespace {

bool IsHeld(const std::vector<bool>& held, size_t place) { return !held.empty() && held[place]; }

void Summarize(Place& place) {
  place.ends = 0;
  place.memory_left = place.memory_limit();
  place.sharers = std::max(1, place.slot.runs());
  place.stopping = place.asked;
  place.top_priority = std::numeric_limits<int32_t>::min();
  place.newest_start_ns = 0;
  for (const RunState* user : place.users) {
    place.stopping = place.stopping || user->stopping;
    place.ends = std::max(place.ends, user->duration);
    if (place.memory_left != kNoLimit) place.memory_left -= RoundedMemory(user->memory_bytes);
    place.sharers = std::min(place.sharers, user->ranks > 1 ? 1 : user->max_sharers);
    place.top_priority = std::max(place.top_priority, user->priority);
    place.newest_start_ns =
        std::max(place.newest_start_ns, user->placement.has_value() ? user->started_ns : kNoLimit);
  }
  if (place.stopping) place.ends = 0;
}

}  // namespace

Refusal MayJoin(const Place& place, const Need& need, double duration, double backlog_time) {
  const auto together = static_cast<int32_t>(place.users.size()) + 1;
  if (need.ranks > 1 || (!place.users.empty() && place.users.front()->ranks > 1)) {
    return Refusal::kGang;
  }
  if (place.stopping) return Refusal::kEnding;
  if (together > std::max(1, place.slot.runs())) return Refusal::kFull;
  if (together > place.sharers || together > need.max_sharers) return Refusal::kSlower;
  if (place.sharing_blocked || duration > backlog_time || place.ends > backlog_time)
    return Refusal::kWouldEndLast;
  return need.memory_bytes > place.memory_left ? Refusal::kMemory : Refusal::kNone;
}

Pool::Pool(const AgentState& agent, SlotKind kind) : agent_(&agent) {
  std::map<std::string, int> hosts;
  for (const v1::Slot& slot : agent.slots) {
    if (KindOf(slot) != kind) continue;
    Place place;
    place.slot = slot;
    Summarize(place);
    memory_bytes_ = std::min(memory_bytes_, place.memory_limit());
    most_runs_ = std::max(most_runs_, slot.runs());
    host_of_.push_back(hosts.emplace(slot.host(), static_cast<int>(hosts.size())).first->second);
    places_.push_back(std::move(place));
  }
  free_ = width();
  hosts_ = static_cast<int>(hosts.size());
}

std::optional<size_t> Pool::Find(const v1::Slot& slot) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const v1::Slot& own = places_[i].slot;
    if (own.device() == slot.device() && own.host() == slot.host()) return i;
  }
  return std::nullopt;
}

void Pool::Add(size_t place, const RunState& run) {
  if (places_[place].users.empty()) --free_;
  places_[place].users.push_back(&run);
  Summarize(places_[place]);
}

void Pool::Remove(size_t place, const RunState& run) {
  std::vector<const RunState*>& users = places_[place].users;
  const auto user = std::find(users.begin(), users.end(), &run);
  ALLO_CHECK(user != users.end()) << "run " << run.run_id << " is not on its slot";
  users.erase(user);
  if (users.empty()) ++free_;
  Summarize(places_[place]);
}

void Pool::Refresh(size_t place) { Summarize(places_[place]); }

void Pool::SetAsked(size_t place, bool asked) {
  places_[place].asked = asked;
  Summarize(places_[place]);
}

std::vector<size_t> Pool::FreePlaces(const std::vector<bool>& held) const {
  std::vector<size_t> free;
  if (IsClosed()) return free;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].users.empty() && !IsHeld(held, i)) free.push_back(i);
  }
  return free;
}

std::vector<size_t> Pool::OnFewestHosts(std::vector<size_t> places, int ranks) const {
  const auto wanted = static_cast<size_t>(ranks);
  if (hosts_ > 1 && places.size() > wanted) {
    std::vector<std::vector<size_t>> by_host(static_cast<size_t>(hosts_));
    for (const size_t place : places)
      by_host[static_cast<size_t>(host_of_[place])].push_back(place);
    // The smallest that is enough, or else the largest: it leaves the fewest for the others.
    places.clear();
    while (places.size() < wanted) {
      const size_t left = wanted - places.size();
      const auto best =
          std::min_element(by_host.begin(), by_host.end(), [&](const auto& a, const auto& b) {
            const bool a_fits = a.size() >= left, b_fits = b.size() >= left;
            if (a_fits != b_fits) return a_fits;
            return a_fits ? a.size() < b.size() : a.size() > b.size();
          });
      const size_t taken = std::min(left, best->size());
      places.insert(places.end(), best->begin(),
                    best->begin() + static_cast<std::ptrdiff_t>(taken));
      best->clear();
    }
  }
  places.resize(wanted);
  std::sort(places.begin(), places.end());
  return places;
}

std::optional<size_t> Pool::RoomiestWith(size_t users, double ends_by,
                                         const std::vector<bool>& held) const {
  std::optional<size_t> best;
  if (IsClosed()) return best;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].users.size() != users || !places_[i].open() || IsHeld(held, i) ||
        places_[i].ends > ends_by) {
      continue;
    }
    if (!best.has_value() || places_[i].memory_left > places_[*best].memory_left) best = i;
  }
  return best;
}

double Pool::SoonestFree(int ranks) const {
  thread_local std::vector<double> ends;  // a decision asks this of every pool
  ends.clear();
  for (const Place& place : places_) ends.push_back(place.ends);
  const auto nth = ends.begin() + (ranks - 1);
  std::nth_element(ends.begin(), nth, ends.end());
  return *nth;
}

std::vector<size_t> Pool::SoonestPlaces(int ranks) const {
  std::vector<std::pair<double, size_t>> times;
  for (size_t i = 0; i < places_.size(); ++i) times.emplace_back(places_[i].ends, i);
  std::sort(times.begin(), times.end());
  std::vector<size_t> places;
  for (int i = 0; i < ranks; ++i) places.push_back(times[static_cast<size_t>(i)].second);
  return places;
}

std::vector<const RunState*> Pool::Victims(int ranks, int32_t priority, int64_t started_by_ns,
                                           const std::vector<bool>& held) const {
  if (!agent_->probation.empty()) return {};
  const auto may_empty = [&](size_t i) {
    const Place& place = places_[i];
    return !IsHeld(held, i) &&
           (place.users.empty() || (!place.stopping && place.top_priority < priority &&
                                    place.newest_start_ns <= started_by_ns));
  };
  int possible = 0;
  for (size_t i = 0; i < places_.size(); ++i) possible += may_empty(i);
  if (possible < ranks) return {};

  const auto goes_first = [](const RunState* a, const RunState* b) {
    return std::make_tuple(a->priority, -a->started_ns, a->run_id) <
           std::make_tuple(b->priority, -b->started_ns, b->run_id);
  };
  std::set<const RunState*, decltype(goes_first)> candidates(goes_first);
  for (size_t i = 0; i < places_.size(); ++i) {
    if (may_empty(i)) candidates.insert(places_[i].users.begin(), places_[i].users.end());
  }
  std::vector<const RunState*> victims;
  const auto enough = [&] {
    int empty = 0;
    for (size_t i = 0; i < places_.size(); ++i) {
      empty +=
          may_empty(i) &&
          std::all_of(places_[i].users.begin(), places_[i].users.end(), [&](const RunState* user) {
            return std::count(victims.begin(), victims.end(), user) > 0;
          });
    }
    return empty >= ranks;
  };
  for (const RunState* candidate : candidates) {
    if (enough()) break;
    victims.push_back(candidate);
  }
  // One that was added before a wider one made enough room may not be needed.
  for (size_t i = 0; i < victims.size();) {
    const RunState* spared = victims[i];
    victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(i));
    if (enough()) continue;
    victims.insert(victims.begin() + static_cast<std::ptrdiff_t>(i), spared);
    ++i;
  }
  return victims;
}

}  // namespace allometry::schedule
