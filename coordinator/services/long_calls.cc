#include "coordinator/services/long_calls.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"

namespace allometry::coordinator {

LongCalls::Place::~Place() {
  MutexLock lock(calls_.mutex_);
  calls_.places_.remove(this);
}

absl::StatusOr<std::unique_ptr<LongCalls::Place>> LongCalls::Enter(grpc::ServerContext& context) {
  auto place = std::make_unique<Place>(*this, context);
  MutexLock lock(mutex_);
  if (static_cast<int>(places_.size()) >= most_) {
    const auto cancelled = CallToCancel();
    if (cancelled == places_.end()) {
      // The lock is released before `place` goes, which takes it.
      return absl::ResourceExhaustedError(absl::StrFormat(
          "%d %s go on already, and each is being read: try again when one is done", most_, what_));
    }
    (*cancelled)->context_.TryCancel();
    places_.erase(cancelled);
  }
  places_.push_back(place.get());
  return place;
}

std::list<LongCalls::Place*>::iterator LongCalls::CallToCancel() {
  const int64_t now_ns = Clock::Real().BootNanos();
  const auto unread = std::find_if(places_.begin(), places_.end(), [&](const Place* place) {
    const int64_t since_ns = place->writing_since_ns_;
    return since_ns != 0 && now_ns - since_ns > kUnreadNs;
  });
  if (unread != places_.end() || !oldest_gives_way_) return unread;
  std::map<std::string, int> of_peer;
  for (const Place* place : places_) ++of_peer[place->peer_];
  const auto most =
      std::max_element(of_peer.begin(), of_peer.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return std::find_if(places_.begin(), places_.end(),
                      [&](const Place* place) { return place->peer_ == most->first; });
}

}  // namespace allometry::coordinator
