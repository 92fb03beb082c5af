// Hosts in the view: those that are drained, rest, or are on probation.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/leases/cluster_view.h"

namespace allometry::coordinator {
namespace {

constexpr int64_t kNsPerUs = 1000;
constexpr size_t kLongestProblem = 400;  // bytes: a sentence

std::string Seconds(int64_t ns) { return absl::StrFormat("%.3g s", static_cast<double>(ns) / 1e9); }

}  // namespace

void ClusterView::SetDrained(std::map<std::string, std::string> hosts) {
  drained_ = std::move(hosts);
  RefreshAllHostStatus();
  RefreshPlaces();
  dirty_ = true;
}

std::string ClusterView::WhyNoRuns(const KnownAgent& agent) const {
  if (!agent.problem.empty()) return agent.problem.substr(0, kLongestProblem);
  if (const auto why = drained_.find(agent.host); why != drained_.end()) return why->second;
  const auto rest = backoffs_.find(agent.host);
  if (rest == backoffs_.end() || rest->second.until_ns <= now_ns_) return "";
  return absl::StrCat(rest->second.reason, "; tried again ", Seconds(rest->second.backoff_ns),
                      " after that, or at once by 'allo retry'");
}

std::string ClusterView::HostStatusText(const KnownAgent& agent) const {
  std::string why = WhyNoRuns(agent);
  const auto rest = backoffs_.find(agent.host);
  if (!why.empty() || rest == backoffs_.end()) return why;
  return absl::StrCat("on probation, one run at a time: ", rest->second.reason);
}

void ClusterView::RefreshHostStatus(const std::string& agent_id) {
  const KnownAgent& known = agents_.at(agent_id);
  std::string drained = WhyNoRuns(known);
  const auto rest = backoffs_.find(known.host);
  std::string probation = rest == backoffs_.end() ? "" : rest->second.reason;
  const schedule::AgentState& before = state().agents.at(agent_id);
  if (before.drained == drained && before.probation == probation) return;
  dirty_ = true;
  scheduler_.ChangeAgent(agent_id, [&](schedule::AgentState& agent) {
    agent.drained = std::move(drained);
    agent.probation = std::move(probation);
  });
}

void ClusterView::RefreshAllHostStatus() {
  for (const auto& [agent_id, known] : agents_) RefreshHostStatus(agent_id);
}

void ClusterView::BackOffUntilJudged(const store::Attempt& attempt) {
  Backoff& rest = backoffs_[attempt.host];
  constexpr int64_t kJudgedWithinNs = 1'000'000'000;
  rest.until_ns = std::max(rest.until_ns, now_ns_ + kJudgedWithinNs);
  rest.backoff_ns = std::max(rest.backoff_ns, kJudgedWithinNs);
  if (rest.reason.empty()) {
    rest.reason = absl::StrFormat("run %d failed there before it got going: %s: %s",
                                  attempt.lease.run_id(), v1::ExitReason_Name(attempt.exit_reason),
                                  attempt.exit_message.substr(0, attempt.exit_message.find('\n')));
  }
  RefreshAllHostStatus();
  RefreshPlaces();
}

std::vector<std::string> ClusterView::SetBackoffs(
    const std::map<std::string, schedule::HostBackoff>& rests, int64_t now_unix_us,
    int64_t now_ns) {
  now_ns_ = std::max(now_ns_, now_ns);
  std::vector<std::string> notices;
  std::erase_if(backoffs_, [&](const auto& entry) {
    if (rests.count(entry.first) > 0) return false;
    if (entry.second.rounds > 0) notices.push_back(absl::StrCat(entry.first, " gets runs again"));
    return true;
  });
  for (const auto& [host, judged] : rests) {
    Backoff& rest = backoffs_[host];
    rest.reason = judged.reason;
    if (rest.rounds == judged.rounds) continue;  // and it may have been ended early
    rest.rounds = judged.rounds;
    rest.backoff_ns = judged.backoff_us * kNsPerUs;
    // The wall clock may have been set since.
    const int64_t left_us = judged.ended_us + judged.backoff_us - now_unix_us;
    rest.until_ns = now_ns + std::clamp<int64_t>(left_us, 0, judged.backoff_us) * kNsPerUs;
    notices.push_back(
        absl::StrCat(host, " gets no runs for ", Seconds(rest.backoff_ns), ": ", judged.reason));
  }
  EndBackoffs(now_ns);
  return notices;
}

void ClusterView::EndBackoffs(int64_t now_ns) {
  now_ns_ = std::max(now_ns_, now_ns);
  if (backoffs_.empty() && avoiding_.empty()) return;
  RefreshAllHostStatus();
  RefreshPlaces();
  RefreshAvoidedHosts();
}

void ClusterView::EndAllBackoffs(int64_t now_ns) {
  for (auto& [host, rest] : backoffs_) rest.until_ns = std::min(rest.until_ns, now_ns);
  EndBackoffs(now_ns);
}

}  // namespace allometry::coordinator
