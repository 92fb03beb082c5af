// One attempt that the agent holds: its trainer, its lease, and the delivery of its spool.
//
//   running ── exits, is killed ──> ended ── exit record durable ──> delivered
//      └────── Drop() ──────────────> dropped ── trainer gone ─────> forgotten
//
// An attempt that is not dropped always ends with an exit record: the trainer's own, or one that
// the agent appends. A spool that is damaged before its tail ends the attempt as BUG, with the
// place of the damage: nothing after it can be trusted. The next attempt starts from a registered
// checkpoint. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "proto/worker.pb.h"
#include "run/trainer_rules.h"
#include "worker/agent/command_launch.h"
#include "worker/agent/exit_verdict.h"
#include "worker/agent/host_probe.h"
#include "worker/agent/hosts.h"
#include "worker/agent/launch.h"
#include "worker/agent/reconcile.h"
#include "worker/agent/run_root.h"
#include "worker/agent/spool_delivery.h"
#include "worker/agent/stall_watch.h"
#include "worker/agent/trainer_process.h"

namespace allometry::agent {

// What every attempt of an agent shares; outlives them.
struct AttemptContext {
  const RunRoot* run_root = nullptr;
  OomKills* oom_kills = nullptr;
  std::string agent_id;
  std::string data_dir;
  Trainers trainers;
  std::string supervisor;  // of commands
  const launch::Launcher* launcher = nullptr;
  launch::Settings launch_settings;
  std::vector<Host> hosts;  // the agent's own
  CommandPolicy commands;
  StallOptions stall;
  // Whether the dataset of that name is still as it was verified; DataLoss where it is not.
  std::function<absl::Status(const std::string& dataset)> check_dataset;
};

struct SuspiciousEnd {
  std::string what;  // "run 7 attempt 2 ended as BUG"
  run::ExitReason reason = run::ExitReason::kBug;
};

class Attempt {
 public:
  // Starts the trainer under a lease that ends at `deadline_ns` (CLOCK_BOOTTIME) and was asked for
  // at `asked_ns`. Never fails: an attempt that cannot be started has ended, with the reason in its
  // exit record.
  static std::unique_ptr<Attempt> Start(const AttemptContext& context, const v1::Hold& hold,
                                        int64_t asked_ns, int64_t deadline_ns);

  const Lease& lease() const { return lease_; }
  Held AsHeld() const;

  // Tells the trainer its new deadline.
  void Renew(int64_t asked_ns, int64_t deadline_ns);
  // Tells the trainer to write a checkpoint and end; at `stop_by_ns` it is killed. `within_ms` is
  // the time that the coordinator gave; 0: none.
  void Preempt(int64_t stop_by_ns, int64_t within_ms);
  void Cancel(int64_t stop_by_ns, int64_t within_ms);
  // Ends the trainer; nothing more is delivered. A trainer that has written its exit record gets
  // time to end by itself.
  void Drop();
  // Kills the trainer at once; for the end of the agent.
  void Kill();

  // Reaps the trainer, enforces lease and stop deadlines, appends the exit record. Call often.
  void Poll(int64_t now_ns);

  // Also while its hosts are asked whether they are there.
  bool running() const { return process_ != nullptr || probe_ != nullptr; }
  // Once, where it ended in a way that this host may have caused.
  std::optional<SuspiciousEnd> TakeSuspiciousEnd() {
    return running() ? std::nullopt : std::exchange(suspicious_end_, std::nullopt);
  }
  // Once: hosts of it that did not answer after it ended.
  std::vector<std::string> TakeLostHosts() { return std::exchange(lost_hosts_, {}); }
  bool dropped() const { return dropped_; }
  // Whether heartbeats bring the end of its log.
  void SendLog(bool wanted) { sends_log_ = wanted; }
  // Empty where it is not wanted.
  std::string LogToSend() const;
  // The trainer is gone and the exit record is in the spool.
  bool ended() const { return !running() && delivery_.has_exit(); }
  // Whether nothing is left to do for the attempt.
  bool finished() const { return !running() && (dropped_ || delivery_.delivered()); }

  // Null when there is nothing to send now; valid until the next call.
  const v1::RecordBatch* NextBatch();
  SpoolDelivery& delivery() { return delivery_; }
  const SpoolDelivery& delivery() const { return delivery_; }

 private:
  Attempt(const AttemptContext& context, const v1::Hold& hold);

  absl::Status Launch(const v1::Hold& hold);
  void SendPendingLines();
  void TellToStop(const std::string& word, int64_t stop_by_ns, int64_t within_ms);
  void EnforceDeadlines(int64_t now_ns);
  // The sentence when the trainer has stalled; otherwise empty.
  std::string Stalled(int64_t now_ns);
  absl::StatusOr<std::vector<launch::HostRanks>> PlaceRanks() const;
  void OnTrainerExit();
  void OnProbed();
  void OnDamage(const absl::Status& damage);

  const AttemptContext& context_;
  const Lease lease_;
  std::vector<HostDevice> devices_;
  const std::string run_dir_;
  const std::string attempt_dir_;
  SpoolDelivery delivery_;
  std::unique_ptr<TrainerProcess> process_;  // null: not started, or gone
  std::unique_ptr<HostProbe> probe_;         // asks why the launcher failed
  std::vector<std::string> lost_hosts_;

  int64_t asked_ns_ = 0;
  int64_t deadline_ns_ = 0;
  int64_t stop_by_ns_ = 0;       // 0: not told to stop
  int64_t terminate_at_ns_ = 0;  // of a dropped attempt
  std::string pending_word_;     // "preempt" or "cancel", until the pipe took it
  bool told_preempt_ = false;
  bool told_cancel_ = false;
  int64_t told_within_ms_ = std::numeric_limits<int64_t>::max();
  bool lease_line_pending_ = false;
  bool dropped_ = false;
  bool sends_log_ = false;
  bool damaged_ = false;
  std::optional<SuspiciousEnd> suspicious_end_;
  EndedBy ended_by_ = EndedBy::kItself;
  std::string why_ended_;  // with kStalled
  StallWatch stall_;
  std::optional<run::TrainerRules> rules_;  // of a command
  // The exit record for a spool without one, once it is known.
  std::optional<run::ExitRecord> verdict_;
};

}  // namespace allometry::agent
