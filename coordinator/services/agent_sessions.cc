#include "coordinator/services/agent_sessions.h"

#include "absl/strings/str_format.h"
#include "base/files.h"
#include "transport/agent_id.h"
#include "transport/token.h"

namespace allometry::coordinator {
namespace {

constexpr size_t kManyAgents = 4096;

}  // namespace

absl::Status AgentSessions::Check(const v1::RegisterRequest& request) {
  if (!transport::EqualInConstantTime(transport::AgentIdOf(request.agent_secret()),
                                      request.agent_id())) {
    return absl::PermissionDeniedError(
        absl::StrFormat("agent_id '%s' was not made from the agent_secret that came with it",
                        request.agent_id().substr(0, 64)));
  }
  MutexLock lock(mutex_);
  const auto known = agents_.find(request.agent_id());
  if (known == agents_.end()) return absl::OkStatus();
  const Agent& agent = known->second;
  const int64_t silent_ns = clock_.BootNanos() - agent.heard_ns;
  const bool next_life = agent.boot_id == request.boot_id() && request.start() > agent.start;
  if (silent_ns > lease_ns_ || agent.life == request.life() || next_life) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrFormat(
      "agent %s is alive on %s (heard %.1f s ago), and this one on %s has the same state directory "
      "or a copy of it: give each worker a --state-dir of its own (in a copy, remove agent_secret "
      "and held.json); an agent that moved here is taken when the other is silent for %.0f s",
      request.agent_id(), agent.host, static_cast<double>(silent_ns) / 1e9, request.host(),
      static_cast<double>(lease_ns_) / 1e9));
}

std::string AgentSessions::Open(const v1::RegisterRequest& request) {
  MutexLock lock(mutex_);
  const int64_t now_ns = clock_.BootNanos();
  if (agents_.size() >= kManyAgents) ForgetTheSilent(now_ns);
  Agent& agent = agents_[request.agent_id()];
  ids_.erase(agent.session);
  if (const auto stream = streams_.find(agent.session); stream != streams_.end()) {
    stream->second->TryCancel();
  }
  agent = {.session = RandomHex128(),
           .host = request.host(),
           .boot_id = request.boot_id(),
           .life = request.life(),
           .start = request.start(),
           .heard_ns = now_ns};
  ids_[agent.session] = request.agent_id();
  return agent.session;
}

absl::Status AgentSessions::Hear(const std::string& agent_id, const std::string& session) {
  MutexLock lock(mutex_);
  const auto known = agents_.find(agent_id);
  if (known == agents_.end() || !transport::EqualInConstantTime(known->second.session, session)) {
    return absl::NotFoundError(
        absl::StrFormat("agent '%s' has no such session: register", agent_id.substr(0, 64)));
  }
  known->second.heard_ns = clock_.BootNanos();
  return absl::OkStatus();
}

absl::Status AgentSessions::BeginStream(const std::string& session, grpc::ServerContext& context) {
  MutexLock lock(mutex_);
  if (session.empty() || !ids_.contains(session)) {
    return absl::UnauthenticatedError(
        "a stream of records brings the session of a registered agent: register first");
  }
  grpc::ServerContext*& current = streams_[session];
  // Of a connection that broke and that nobody has noticed yet.
  if (current != nullptr) current->TryCancel();
  current = &context;
  return absl::OkStatus();
}

void AgentSessions::EndStream(const std::string& session, const grpc::ServerContext& context) {
  MutexLock lock(mutex_);
  const auto found = streams_.find(session);
  if (found != streams_.end() && found->second == &context) streams_.erase(found);
}

void AgentSessions::ForgetTheSilent(int64_t now_ns) {
  for (auto it = agents_.begin(); it != agents_.end();) {
    if (now_ns - it->second.heard_ns > lease_ns_) {
      ids_.erase(it->second.session);
      it = agents_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace allometry::coordinator
