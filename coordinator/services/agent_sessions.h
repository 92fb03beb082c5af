// Which connection may speak for which agent.
//
// An agent's id is not a secret: it stands in lists and messages. The id is a hash of the agent's
// secret (transport::IdOfSecret). To register under an id, an agent brings that secret, and gets a
// session: a second secret that its heartbeats and its stream of records bring.
//
// One agent has one life at a time. A process that starts again on the state directory of a dead
// one is the agent's next life, and its registration ends the session of the life before. A process
// on a copy of the directory, on another machine or from an earlier start, is refused while the
// other one is heard:
//   same life               the same process asks again                         accepted
//   same boot, later start  the next life on that machine; the lock of the
//                           state directory shows that the one before is dead   accepted
//   else                    a copy, or another machine after a move             refused for a lease
//
// Threading: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "grpcpp/server_context.h"
#include "proto/worker.pb.h"

namespace allometry::coordinator {

// Metadata of StreamRecords that holds the session.
inline constexpr char kSessionKey[] = "allo-session";

class AgentSessions {
 public:
  AgentSessions(int64_t lease_ms, const Clock& clock)
      : lease_ns_(lease_ms * 1'000'000), clock_(clock) {}

  // Called first for every registration. PermissionDenied: the secret is not that of the id.
  // AlreadyExists: another life of the agent is heard; the message names its host.
  absl::Status Check(const v1::RegisterRequest& request);
  // Opens a session for an agent that registered. Its session before is over.
  std::string Open(const v1::RegisterRequest& request);
  // Takes in a heartbeat. NotFound: the session is not the agent's current one; it must register.
  absl::Status Hear(const std::string& agent_id, const std::string& session);

  // Begins a stream of records, the only one of its session: an older stream is cancelled.
  // Unauthenticated: no such session. Call EndStream after each OK.
  absl::Status BeginStream(const std::string& session, grpc::ServerContext& context);
  void EndStream(const std::string& session, const grpc::ServerContext& context);

 private:
  struct Agent {
    std::string session;
    std::string host;
    std::string boot_id;
    std::string life;
    int64_t start = 0;
    int64_t heard_ns = 0;  // boot clock
  };

  void ForgetTheSilent(int64_t now_ns) ALLO_REQUIRES(mutex_);

  const int64_t lease_ns_;
  const Clock& clock_;

  Mutex mutex_;
  std::map<std::string, Agent> agents_ ALLO_GUARDED_BY(mutex_);                  // by id
  std::map<std::string, std::string> ids_ ALLO_GUARDED_BY(mutex_);               // by session
  std::map<std::string, grpc::ServerContext*> streams_ ALLO_GUARDED_BY(mutex_);  // by session
};

}  // namespace allometry::coordinator
