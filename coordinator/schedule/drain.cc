#include "coordinator/schedule/drain.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/schedule/after_exit.h"

namespace allometry::schedule {
namespace {

bool EndedWell(v1::ExitReason reason) {
  switch (reason) {
    case v1::SUCCEEDED:
    case v1::PREEMPTED:
    case v1::CANCELLED_BY_USER:
    case v1::LIMIT:
    case v1::STOPPED_EARLY:
      return true;
    default:
      return false;
  }
}

struct Deaths {
  std::map<int64_t, v1::ExitReason> since_success;  // by run
  std::map<int64_t, v1::ExitReason> better_elsewhere;
};

std::map<std::string, Deaths> Count(const std::vector<EndOnHost>& ends) {
  std::map<std::string, Deaths> hosts;
  for (const EndOnHost& end : ends) {
    Deaths& deaths = hosts[end.host];
    if (EndedWell(end.reason)) deaths.since_success.clear();
    const bool says_something = IsEvidenceAboutHost(end.reason);
    if (says_something) deaths.since_success[end.run_id] = end.reason;
    if (!says_something && (!HostMayBeAtFault(end.reason) || end.charged_to_host)) continue;
    if (end.step_elsewhere > end.step) deaths.better_elsewhere[end.run_id] = end.reason;
  }
  return hosts;
}

std::string Sentence(const std::map<int64_t, v1::ExitReason>& runs, absl::string_view what) {
  constexpr size_t kListed = 5;
  std::vector<std::string> list;
  for (const auto& [run_id, reason] : runs) {
    if (list.size() == kListed) break;
    list.push_back(absl::StrCat(run_id, " (", v1::ExitReason_Name(reason), ")"));
  }
  const std::string more =
      runs.size() > kListed ? absl::StrCat(" and ", runs.size() - kListed, " more") : "";
  return absl::StrFormat("%d runs died there %s: %s%s", runs.size(), what,
                         absl::StrJoin(list, ", "), more);
}

bool CouldRun(const AgentState& agent, const RunState& run) {
  if (!run.dataset_hash.empty() && agent.dataset_hashes.count(run.dataset_hash) == 0) return false;
  const auto slots =
      std::count_if(agent.slots.begin(), agent.slots.end(),
                    [&](const v1::Slot& slot) { return KindOf(slot) == run.device; });
  return slots >= run.ranks;
}

// Whether every open run that some working host could run has one without `host`, too.
bool OthersSuffice(const ClusterState& state, const std::set<std::string>& drained,
                   const std::string& host) {
  std::vector<const AgentState*> here, others;
  for (const auto& [agent_id, agent] : state.agents) {
    if (!agent.live || drained.count(agent.host) > 0) continue;
    (agent.host == host ? here : others).push_back(&agent);
  }
  if (others.empty()) return false;
  std::set<std::tuple<int32_t, SlotKind, std::string>> looked_at;
  for (const auto& entry : state.runs) {
    const auto& run = entry.second;
    if (!looked_at.emplace(run.ranks, run.device, run.dataset_hash).second) continue;
    const auto could = [&](const AgentState* agent) { return CouldRun(*agent, run); };
    if (std::any_of(here.begin(), here.end(), could) &&
        std::none_of(others.begin(), others.end(), could)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool IsEvidenceAboutHost(v1::ExitReason reason) {
  switch (reason) {
    case v1::KILLED:
    case v1::OOM:
    case v1::DEVICE:
    case v1::NODE_LOST:
    case v1::STALLED:
      return true;
    default:
      return false;
  }
}

std::vector<DrainAdvice> HostsToDrain(const std::vector<EndOnHost>& ends, const ClusterState& state,
                                      const std::set<std::string>& drained,
                                      const DrainOptions& options) {
  std::vector<DrainAdvice> advice;
  std::set<std::string> out = drained;
  const auto enough = static_cast<size_t>(std::max(1, options.runs));
  for (const auto& [host, deaths] : Count(ends)) {
    if (drained.count(host) > 0) continue;
    DrainAdvice one;
    one.host = host;
    if (deaths.better_elsewhere.size() >= enough) {
      one.reason = Sentence(deaths.better_elsewhere, "and came further elsewhere");
    } else if (deaths.since_success.size() >= enough) {
      one.reason = Sentence(deaths.since_success, "and none ended well meanwhile");
    } else {
      continue;
    }
    one.is_last_host = !OthersSuffice(state, out, host);
    if (!one.is_last_host) out.insert(host);
    advice.push_back(std::move(one));
  }
  return advice;
}

}  // namespace allometry::schedule
