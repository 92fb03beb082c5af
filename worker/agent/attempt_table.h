// All attempts of an agent, and the file in its state dir that lists them.
//
// The file (held.json) names an attempt from before its trainer starts until its exit record is
// durable, so that the agent's next life knows which attempts to give back. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "proto/worker.pb.h"
#include "worker/agent/attempt.h"
#include "worker/agent/run_root.h"
#include "worker/agent/state_dir.h"

namespace allometry::agent {

struct AttemptSettings {
  std::string data_dir;
  Trainers trainers;
  std::string supervisor;  // allo-supervisor
  const launch::Launcher* launcher = nullptr;
  launch::Settings launch_settings;
  std::vector<Host> hosts;
  CommandPolicy commands;
  int runs_per_device = 1;  // at once, of one rank each
  // How long a trainer that was told to stop may take to write its checkpoint.
  int64_t stop_within_ms = 60'000;
  StallOptions stall;
  // This process is a subreaper, and whatever comes to it came of an attempt (BecomeSubreaper).
  bool ends_orphans = false;
};

class AttemptTable {
 public:
  // Locks the state dir, reads what an earlier life held, opens the run root.
  static absl::StatusOr<std::unique_ptr<AttemptTable>> Open(const std::string& state_dir,
                                                            const std::string& run_root,
                                                            AttemptSettings settings);
  // Ends every trainer that still runs.
  ~AttemptTable();
  AttemptTable(const AttemptTable&) = delete;
  AttemptTable& operator=(const AttemptTable&) = delete;

  const StateDir& state() const { return state_; }
  const std::string& agent_id() const { return state_.agent_id(); }
  const RunRoot& run_root() const { return root_; }
  const std::string& state_dir() const { return state_.path(); }

  // Ends the processes that an earlier life of this agent left. Blocks until they are gone.
  absl::Status EndLeftovers() const;
  // The attempts of an earlier life, until the coordinator took them back.
  const std::vector<Lease>& given_back() const { return given_back_; }
  void ForgetGivenBack();

  // Does what a heartbeat's reply asks for. `asked_ns`: when the heartbeat was sent (boot clock),
  // from which leases count. Without `may_start` nothing new is started.
  void Apply(const v1::HeartbeatResponse& reply, int64_t asked_ns, bool may_start);
  // The coordinator's database is another one than before: sends again the records that it lacks.
  void GoBack(const v1::HeartbeatResponse& reply);
  // Continues every attempt. True if a slot became free or an attempt was delivered: then a
  // heartbeat should be sent soon.
  bool Poll(int64_t now_ns);
  void PreemptAll(int64_t stop_by_ns);
  void KillAll();

  // The next batch to send, from each attempt in turn; null when there is none. Valid until the
  // next call.
  const v1::RecordBatch* NextBatch();
  void Acknowledge(const v1::RecordAck& ack);
  // The stream broke: everything after the last acks is sent again.
  void Rewind();

  // The attempts that a heartbeat lists. Attempts that are being dropped are listed as not held,
  // but still occupy their devices.
  std::vector<v1::HeldAttempt> HeldAttempts() const;
  // On which fewer attempts run than may at once, but for those of lost hosts.
  std::vector<HostDevice> FreeDevices() const;

  // Once after an attempt ended in a way that this host may have caused.
  std::optional<SuspiciousEnd> TakeSuspiciousEnd() {
    return std::exchange(suspicious_end_, std::nullopt);
  }
  // Asked before each attempt is started.
  void CheckDatasetsWith(std::function<absl::Status(const std::string& dataset)> check) {
    context_.check_dataset = std::move(check);
  }
  // Puts the checkpoints and run directories into the heartbeat that the coordinator named and that
  // are deleted: into every one until ForgetDeleted says that the coordinator has received it.
  void ReportDeleted(v1::HeartbeatRequest& request) const;
  void ForgetDeleted(const v1::HeartbeatRequest& told);

  size_t size() const { return attempts_.size(); }
  bool AnyRunning() const;

 private:
  AttemptTable(StateDir state, RunRoot root, std::vector<Lease> given_back,
               AttemptSettings settings);

  void Start(const std::vector<v1::Hold>& holds, int64_t asked_ns);
  void DeleteNamed(const v1::HeartbeatResponse& reply);
  // Asks lost hosts again; true when one is back.
  bool AskLostHosts(int64_t now_ns);
  void Acknowledge(Attempt& attempt, uint64_t durable_sequence);
  absl::Status SaveHeld(const std::vector<v1::Hold>& about_to_start) const;

  const StateDir state_;
  const RunRoot root_;
  const AttemptSettings settings_;
  OomKills oom_kills_;
  AttemptContext context_;  // constant once runs start
  std::vector<Lease> given_back_;
  std::map<Lease, std::unique_ptr<Attempt>> attempts_;
  std::set<std::string> deleted_;
  std::set<int64_t> deleted_runs_;
  std::optional<SuspiciousEnd> suspicious_end_;
  // Hosts that do not answer, and when they are asked again (boot clock).
  std::map<std::string, int64_t> lost_hosts_;
  std::unique_ptr<HostProbe> return_probe_;
  Lease last_sent_;  // whose turn it was
  bool ends_adopted_ = false;
};

}  // namespace allometry::agent
