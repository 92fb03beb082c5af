// What the agent asks of its coordinator, and what it makes of the answers: registration,
// heartbeats, and what happens while none comes.
#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "worker/agent/agent.h"
#include "worker/agent/log.h"
#include "worker/agent/record_conversion.h"

namespace allometry::agent {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int64_t kSoonMs = 100;    // the least time between two heartbeats
constexpr int64_t kStreamRetryMs = 500;
constexpr int64_t kCallTimeoutMs = 10'000;
constexpr int64_t kMaxRetryMs = 2'000;
constexpr int kReconnectAfterFailures = 3;

int64_t Now() { return Clock::Real().BootNanos(); }

// A refusal that does not pass by itself.
bool IsFinal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnauthenticated(status) ||
         absl::IsPermissionDenied(status) || absl::IsUnimplemented(status);
}

bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

}  // namespace

void Agent::CallCoordinator(int64_t now_ns) {
  if (call_in_flight_ || now_ns < next_call_ns_) return;
  call_in_flight_ = true;
  last_asked_ns_ = now_ns;
  RefreshDatasets(now_ns);
  if (registered_) {
    StartHeartbeat();
  } else {
    StartRegister();
  }
}

void Agent::StartRegister() {
  v1::RegisterRequest request;
  request.set_agent_id(attempts_->agent_id());
  request.set_agent_secret(attempts_->state().agent_secret());
  request.set_boot_id(boot_id_);
  request.set_start(attempts_->state().start());
  request.set_life(life_);
  request.set_host(host_);
  request.set_run_root_id(attempts_->run_root().id());
  request.set_version(kVersion);
  request.set_problem(trainers_.problem());
  request.set_runs_commands(options_.attempts.commands.allowed);
  for (const Host& host : options_.attempts.hosts) {
    for (const std::string& device : host.devices) {
      *request.add_slots() = SlotOf({host.name, device});
    }
  }
  request.mutable_datasets()->Assign(datasets_.offered().begin(), datasets_.offered().end());
  for (const Lease& lease : attempts_->given_back()) {
    v1::GivenBack& given_back = *request.add_given_back();
    *given_back.mutable_lease() = ToProto(lease);
    given_back.set_reason(v1::AGENT_LOST);
    given_back.set_message("its agent ended before the attempt did");
  }
  link_->Register(request, kCallTimeoutMs,
                  [this](const absl::Status& status, const v1::RegisterResponse& response) {
                    OnRegistered(status, response);
                  });
}

void Agent::OnRegistered(const absl::Status& status, const v1::RegisterResponse& response) {
  call_in_flight_ = false;
  if (!status.ok()) {
    if (IsFinal(status) && !ever_registered_) {
      fatal_ = Annotate(status, absl::StrCat("coordinator ", link_->address()));
      return;
    }
    OnFailure(status);
    return;
  }
  OnAnswer();
  registered_ = true;
  ever_registered_ = true;
  link_->SetSession(response.session());
  database_is_other_ = !incarnation_.empty() && incarnation_ != response.incarnation();
  incarnation_ = response.incarnation();
  lease_ms_ = response.lease_ms();
  heartbeat_every_ms_ = std::max<int64_t>(response.heartbeat_every_ms(), 1);
  next_call_ns_ = 0;
  LogLine(absl::StrFormat("registered; a lease lasts %.1f s, a heartbeat every %.1f s",
                          static_cast<double>(lease_ms_) / 1e3,
                          static_cast<double>(heartbeat_every_ms_) / 1e3));
  attempts_->ForgetGivenBack();
}

void Agent::StartHeartbeat() {
  v1::HeartbeatRequest request;
  request.set_agent_id(attempts_->agent_id());
  request.set_session(link_->session());
  request.set_incarnation(incarnation_);
  for (v1::HeldAttempt& held : attempts_->HeldAttempts()) *request.add_held() = std::move(held);
  const bool stopping = stop_signals_ > 0;
  const bool goes = stopping && attempts_->size() == 0;
  request.set_problem(trainers_.problem());
  if (!stopping && trainers_.problem().empty()) {
    for (const HostDevice& device : attempts_->FreeDevices()) {
      *request.add_free_slots() = SlotOf(device);
    }
  }
  request.mutable_datasets()->Assign(datasets_.offered().begin(), datasets_.offered().end());
  attempts_->ReportDeleted(request);
  const int64_t asked_ns = last_asked_ns_ = Now();
  // A reply is worth waiting for while it may still renew: on a slow link a shorter wait would give
  // up every one. What remains of the lease is for a second try on a new connection.
  const int64_t timeout_ms =
      lease_ms_ > 0 ? std::clamp<int64_t>(lease_ms_ * 2 / 3, 1, kCallTimeoutMs) : kCallTimeoutMs;
  link_->Heartbeat(request, timeout_ms,
                   [this, asked_ns, goes, request](const absl::Status& status,
                                                   const v1::HeartbeatResponse& reply) {
                     final_heartbeat_answered_ |= goes && status.ok();
                     if (status.ok()) attempts_->ForgetDeleted(request);
                     OnHeartbeat(asked_ns, status, reply);
                   });
}

void Agent::OnHeartbeat(int64_t asked_ns, const absl::Status& status,
                        const v1::HeartbeatResponse& reply) {
  call_in_flight_ = false;
  if (absl::IsNotFound(status)) {
    LogLine("the coordinator does not know this agent: registering again");
    registered_ = false;
    next_call_ns_ = 0;
    return;
  }
  if (!status.ok()) {
    OnFailure(status);
    return;
  }
  OnAnswer();
  next_call_ns_ = asked_ns + heartbeat_every_ms_ * kMs;
  if (std::exchange(database_is_other_, false)) attempts_->GoBack(reply);
  attempts_->Apply(reply, asked_ns, /*may_start=*/stop_signals_ == 0);
}

void Agent::OnFailure(const absl::Status& status) {
  ++failures_;
  const int64_t retry_ms = std::min(kMaxRetryMs, int64_t{250} << std::min(failures_ - 1, 10));
  next_call_ns_ = Now() + retry_ms * kMs;
  if (failures_ % kReconnectAfterFailures == 0 || link_->Moved()) {
    if (const absl::Status connected = link_->Reconnect(); !connected.ok()) {
      LogOnce(absl::StrCat("coordinator ", link_->address(),
                           " cannot be reached anew: ", connected.message()));
    }
  }
  if (!IsAway(status)) {
    LogOnce(absl::StrCat("coordinator ", link_->address(), " refuses this agent: ",
                         status.message(), "; asking again until it does not"));
    return;
  }
  if (away_since_ns_ == 0) away_since_ns_ = Now();
  if (away_reason_ == status.message()) return;
  away_reason_ = std::string(status.message());
  LogLine(
      absl::StrCat("coordinator ", link_->address(), " is away (", away_reason_, "); ",
                   attempts_->size() > 0
                       ? absl::StrCat(attempts_->size(), " attempts go on until their leases end")
                       : "trying until it answers"));
}

void Agent::OnAnswer() {
  failures_ = 0;
  last_line_.clear();
  away_reason_.clear();
  if (away_since_ns_ == 0) return;
  LogLine(absl::StrFormat("coordinator %s is back after %.1f s", link_->address(),
                          static_cast<double>(Now() - away_since_ns_) / 1e9));
  away_since_ns_ = 0;
}

void Agent::LogOnce(const std::string& line) {
  if (line == last_line_) return;
  last_line_ = line;
  LogLine(line);
}

void Agent::HeartbeatSoon() {
  if (registered_ && failures_ == 0) {
    next_call_ns_ = std::min(next_call_ns_, last_asked_ns_ + kSoonMs * kMs);
  }
}

v1::Slot Agent::SlotOf(const HostDevice& device) const {
  v1::Slot slot;
  slot.set_host(device.host);
  slot.set_device(device.device);
  slot.set_runs(options_.attempts.runs_per_device);
  if (const auto memory = memory_.find(device); memory != memory_.end()) {
    slot.set_memory_bytes(memory->second);
  }
  return slot;
}

void Agent::OnStreamClosed(const absl::Status& status) {
  attempts_->Rewind();
  next_stream_ns_ = Now() + kStreamRetryMs * kMs;
  if (!status.ok() && !IsAway(status)) {
    LogOnce(absl::StrCat("the coordinator closed the stream: ", status.message()));
  }
}

}  // namespace allometry::agent
