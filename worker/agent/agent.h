// The worker's agent: it offers slots, holds attempts under leases, and delivers what their
// trainers write.
//
// Life of an agent. It ends the processes that an earlier life left running, and begins to check
// the trainers and the datasets. It registers and gives the earlier attempts back as AGENT_LOST;
// until the trainers have passed their check it reports a problem and no free slots. Then it sends
// heartbeats; each reply lists all attempts that the agent should hold. While the coordinator is
// away, training goes on until the leases end; spools are delivered when it is back.
//
// All of it runs on one thread, a loop over gRPC's completion queue with a tick of 50 ms, so there
// is no shared state. Blocking calls in it are short: reading a batch from a spool, starting a
// process.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "worker/agent/attempt_table.h"
#include "worker/agent/coordinator_link.h"
#include "worker/agent/dataset_list.h"
#include "worker/agent/trainer_check.h"

namespace allometry::agent {

struct AgentOptions {
  transport::ConnectionOptions link;
  std::string state_dir;
  std::string run_root;
  std::string host;  // its name to the coordinator; empty: the machine's
  // Without any: this machine with `devices`, under the name `host`.
  std::vector<Host> hosts;
  std::vector<std::string> devices;
  std::string launcher_name;     // of this machine, as Host has it
  std::string coordinator_file;  // as in CoordinatorLink
  // It ends by itself when it had no attempt for so long; 0: it never does.
  int64_t idle_exit_ms = 0;
  AttemptSettings attempts;
};

class Agent {
 public:
  // FailedPrecondition: the state dir is in use; NotFound: a trainer that a slot needs is missing;
  // InvalidArgument: no slots, or a host's name with a slash or a space.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(AgentOptions options);
  // Ends every trainer that still runs.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Runs until told to stop. `stop_signals` counts the requests: at the first, trainers write their
  // checkpoints, spools are delivered, and Run returns OK; at the second they are killed, and it
  // returns Aborted. Otherwise it returns only what makes going on pointless: a coordinator that
  // refuses the first registration for a reason that does not pass by itself.
  absl::Status Run(const std::atomic<int>& stop_signals);

 private:
  Agent(AgentOptions options, std::unique_ptr<AttemptTable> attempts,
        std::unique_ptr<CoordinatorLink> link);

  // Steps of the loop.
  void ObserveStop(int stop_signals, int64_t now_ns);
  bool MayEnd(int64_t now_ns) const;
  void SendRecords(int64_t now_ns);
  void CallCoordinator(int64_t now_ns);
  void RefreshDatasets(int64_t now_ns);

  // Calls and their answers.
  void StartRegister();
  void OnRegistered(const absl::Status& status, const v1::RegisterResponse& response);
  void StartHeartbeat();
  void OnHeartbeat(int64_t asked_ns, const absl::Status& status,
                   const v1::HeartbeatResponse& reply);
  void OnStreamClosed(const absl::Status& status);
  void OnAnswer();
  void OnFailure(const absl::Status& status);
  void LogOnce(const std::string& line);

  void HeartbeatSoon();
  v1::Slot SlotOf(const HostDevice& device) const;
  bool IsIdleTooLong(int64_t now_ns);
  // Moves the check of the trainers and of the datasets on, and says what came out of it.
  void CheckHost(int64_t now_ns);

  const AgentOptions options_;
  const std::string host_;
  const std::string boot_id_;
  const std::string life_;  // of this process
  const std::unique_ptr<AttemptTable> attempts_;
  std::map<HostDevice, int64_t> memory_;  // bytes of each device that are known
  DatasetList datasets_;
  TrainerCheck trainers_;
  int64_t suspect_again_ns_ = 0;
  std::string last_problem_;     // of the trainers, as last said
  int64_t datasets_due_ns_ = 0;  // all times: boot clock
  bool root_is_gone_ = false;    // when last looked

  bool registered_ = false;
  bool ever_registered_ = false;
  std::string incarnation_;         // of the coordinator's database, as registered
  bool database_is_other_ = false;  // than before: the next reply says how far it is
  bool call_in_flight_ = false;     // at most one, so replies come in order
  int64_t lease_ms_ = 0;
  int64_t heartbeat_every_ms_ = 1000;
  int64_t next_call_ns_ = 0;
  int64_t last_asked_ns_ = 0;
  int64_t next_stream_ns_ = 0;
  int64_t away_since_ns_ = 0;                  // 0: the coordinator answers
  std::string away_reason_;                    // as last said
  int failures_ = 0;                           // in a row
  std::string last_line_;                      // of LogOnce
  std::string data_dir_error_;                 // as last said; empty: it was read
  std::vector<std::string> refused_datasets_;  // as last said

  int stop_signals_ = 0;
  int64_t stop_by_ns_ = 0;
  bool final_heartbeat_answered_ = false;  // the coordinator heard that this agent goes
  int64_t busy_ns_ = 0;                    // when it last had an attempt, or started
  absl::Status fatal_;

  const std::unique_ptr<CoordinatorLink> link_;  // last: its callbacks use the rest
};

}  // namespace allometry::agent
