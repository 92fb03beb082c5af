// Dispatch's hosts: those that kill runs get none (coordinator/schedule/drain.h), and those where
// none gets going rest (coordinator/schedule/host_backoff.h).
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/leases/dispatch.h"
#include "coordinator/schedule/drain.h"
#include "coordinator/schedule/host_backoff.h"

namespace allometry::coordinator {
namespace {

// What is older says nothing about a host as it is now.
constexpr int64_t kRecentUs = int64_t{3600} * 1'000'000;

std::vector<schedule::EndOnHost> ToScheduler(const std::vector<store::HostEnd>& stored) {
  std::vector<schedule::EndOnHost> ends;
  ends.reserve(stored.size());
  for (const store::HostEnd& end : stored) {
    ends.push_back(
        {end.host, end.run_id, end.reason, end.step, end.step_elsewhere, end.charged_to_host});
  }
  return ends;
}

std::vector<schedule::ChargedEnd> ToScheduler(const std::vector<store::ChargedEnd>& stored) {
  std::vector<schedule::ChargedEnd> ends;
  ends.reserve(stored.size());
  for (const store::ChargedEnd& end : stored) {
    ends.push_back(
        {end.host, end.run_id, end.reason, end.message, end.started_unix_us, end.ended_unix_us});
  }
  return ends;
}

}  // namespace

absl::Status Dispatch::ReadDrained() {
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::DrainedHost> stored, store_->DrainedHosts());
  std::map<std::string, std::string> drained;
  for (const store::DrainedHost& host : stored) drained[host.host] = host.reason;
  MutexLock lock(mutex_);
  view_.SetDrained(std::move(drained));
  return absl::OkStatus();
}

absl::Status Dispatch::SetDrained(const std::string& host, const std::string& reason) {
  ALLO_RETURN_IF_ERROR(store_->SetDrained(host, reason));
  ALLO_RETURN_IF_ERROR(ReadDrained());
  feed_.Announce();
  Decide();
  return absl::OkStatus();
}

void Dispatch::EndHostBackoffs() {
  MutexLock lock(mutex_);
  view_.EndAllBackoffs(options_.clock->BootNanos());
}

void Dispatch::JudgeHosts() {
  {
    MutexLock lock(mutex_);
    if (!view_.TakeHostsChanged()) return;
  }
  const int64_t since_us = options_.clock->UnixMicros() - kRecentUs;
  const auto stored = store_->EndsSince(since_us);
  const auto charged = store_->ChargedEndsSince(since_us);
  for (const absl::Status& status : {stored.status(), charged.status()}) {
    if (status.ok()) continue;
    LogOnce(absl::StrCat("hosts were not judged: ", status.message()));
    return;
  }
  std::vector<schedule::DrainAdvice> advice;
  std::vector<std::string> notices;
  {
    MutexLock lock(mutex_);
    notices = view_.SetBackoffs(schedule::HostsToBackOff(ToScheduler(*charged)),
                                options_.clock->UnixMicros(), options_.clock->BootNanos());
    std::set<std::string> drained;
    for (const auto& [host, reason] : view_.drained()) drained.insert(host);
    advice = schedule::HostsToDrain(ToScheduler(*stored), view_.state(), drained);
  }
  for (const std::string& notice : notices) Notify(notice);
  for (const schedule::DrainAdvice& one : advice) {
    if (!one.is_last_host) {
      const absl::Status set = SetDrained(one.host, one.reason);
      if (!set.ok()) LogOnce(absl::StrCat(one.host, " was not drained: ", set.message()));
      continue;
    }
    // Once for each host: the list of its dead may grow for long.
    if (!spared_hosts_.insert(one.host).second) continue;
    const std::string notice =
        absl::StrCat(one.host, " is not drained, because no other worker could run what is open, ",
                     "but look at it: ", one.reason);
    Notify(notice);
  }
}

}  // namespace allometry::coordinator
