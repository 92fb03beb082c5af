// Which connection speaks for which agent.
//
// An agent's id is not a secret: it stands in lists and messages. So it is made from one
// (transport::IdOfSecret): whoever registers under an id brings the secret that it was made from,
// and gets a session, a second secret, that its heartbeats and its stream of records bring.
//
// One agent, one life. A process that starts again on the state directory of a dead one is that
// agent's next life; its registration ends the session of the life before. A process on a *copy* of
// the directory, on another machine or as an older start, is refused while the other one is heard:
//   same life               the same process asks again                         taken
//   same boot, later start  the next life on that machine: the lock of the
//                           state directory says that the one before is dead    taken
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

  // Before anything else is done for a registration. PermissionDenied: the secret is not that of
  // the id; AlreadyExists: another life of the agent is heard, named by its host.
  absl::Status Check(const v1::RegisterRequest& request);
  // The session of an agent that registered; the one before is over.
  std::string Open(const v1::RegisterRequest& request);
  // A heartbeat came. NotFound: not of this session; register.
  absl::Status Hear(const std::string& agent_id, const std::string& session);

  // A stream of records begins: the one stream of its session from now on; an older one is
  // cancelled. Unauthenticated: no such session. Each OK is followed by EndStream.
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
