#include "worker/agent/stall_watch.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"

namespace allometry::agent {
namespace {

constexpr double kNanos = 1e9;

double MedianSeconds(const std::deque<int64_t>& intervals_ns) {
  std::vector<int64_t> sorted(intervals_ns.begin(), intervals_ns.end());
  const auto middle = sorted.begin() + static_cast<int64_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return static_cast<double>(*middle) / kNanos;
}

}  // namespace

double StallWatch::LimitSeconds() const {
  if (intervals_ns_.size() < kFewest) return kStartFloors * options_.floor_s;
  const double longest =
      static_cast<double>(*std::max_element(intervals_ns_.begin(), intervals_ns_.end())) / kNanos;
  return std::max({options_.floor_s, options_.factor * MedianSeconds(intervals_ns_), 2 * longest});
}

std::string StallWatch::Observe(int64_t now_ns, int64_t bytes) {
  if (last_call_ns_ >= 0) {
    silent_ns_ += std::clamp<int64_t>(now_ns - last_call_ns_, 0, kLongestGapNs);
  }
  last_call_ns_ = now_ns;
  if (bytes != bytes_) {
    // What comes first says only how long the start took.
    if (bytes_ > 0) intervals_ns_.push_back(silent_ns_);
    if (intervals_ns_.size() > kIntervals) intervals_ns_.pop_front();
    bytes_ = bytes;
    silent_ns_ = 0;
    return "";
  }
  const double silent_s = static_cast<double>(silent_ns_) / kNanos;
  if (options_.factor <= 0 || silent_s < LimitSeconds()) return "";
  if (intervals_ns_.size() < kFewest) {
    return absl::StrFormat("no record for %.1f s after its start", silent_s);
  }
  return absl::StrFormat("no record for %.1f s; the usual time between two is %.3g s", silent_s,
                         MedianSeconds(intervals_ns_));
}

}  // namespace allometry::agent
