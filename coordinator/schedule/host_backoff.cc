#include "coordinator/schedule/host_backoff.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::schedule {
namespace {

// `ends` of one host, in the order of their starts; not empty.
HostBackoff RestAfter(const std::vector<ChargedEnd>& ends, const BackoffOptions& options) {
  HostBackoff rest;
  std::set<int64_t> runs;
  const ChargedEnd* last = &ends.front();
  int64_t round_ends_us = 0;  // its first end: what starts later is another round
  for (const ChargedEnd& end : ends) {
    if (rest.rounds == 0 || end.started_us > round_ends_us) {
      ++rest.rounds;
      round_ends_us = end.ended_us;
    }
    round_ends_us = std::min(round_ends_us, end.ended_us);
    if (end.ended_us >= last->ended_us) last = &end;
    runs.insert(end.run_id);
  }
  rest.ended_us = last->ended_us;
  rest.backoff_us = options.base_us;
  for (int i = 1; i < rest.rounds && rest.backoff_us < options.longest_us; ++i)
    rest.backoff_us *= 2;
  rest.backoff_us = std::min(rest.backoff_us, options.longest_us);
  const std::string what = absl::StrCat(v1::ExitReason_Name(last->reason),
                                        last->message.empty() ? "" : ": ", last->message);
  rest.reason =
      runs.size() == 1
          ? absl::StrFormat("run %d failed there before it got going: %s", last->run_id, what)
          : absl::StrFormat("%d runs failed there before they got going, the last with %s",
                            runs.size(), what);
  return rest;
}

}  // namespace

std::map<std::string, HostBackoff> HostsToBackOff(std::vector<ChargedEnd> ends,
                                                  const BackoffOptions& options) {
  std::sort(ends.begin(), ends.end(), [](const ChargedEnd& a, const ChargedEnd& b) {
    return std::tie(a.host, a.started_us, a.ended_us, a.run_id) <
           std::tie(b.host, b.started_us, b.ended_us, b.run_id);
  });
  std::map<std::string, HostBackoff> rests;
  for (auto first = ends.begin(); first != ends.end();) {
    const auto past = std::find_if(first, ends.end(),
                                   [&](const ChargedEnd& end) { return end.host != first->host; });
    rests[first->host] = RestAfter({first, past}, options);
    first = past;
  }
  return rests;
}

}  // namespace allometry::schedule
