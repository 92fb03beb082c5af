// The lease of a leased trainer, as the agent sends it on rank 0's standard input.
//
//   lease BOOT_ID ASKED DEADLINE LEFT_MS   renewed (run/lease_line.h)
//   preempt                                checkpoint and end as PREEMPTED
//   cancel                                 checkpoint and end as CANCELLED_BY_USER
//
// SIGTERM means preempt too: that is how Slurm tells the steps of a job that must make room.
//
// A lease of another machine's clock is brought to this one's by the smallest difference seen
// between the receipt of a line and its writing there. A line that was long on its way (a cable was
// out) therefore ends when its lease does, and not that much later.
//
// After end of file or a passed deadline another worker may already have the run, so the trainer
// ends at once without another write. The first lease must come within kFirstLeaseS.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/status.h"
#include "run/lease_line.h"

namespace allometry::trainer {

enum class LeaseCommand { kNone = 0, kPreempt = 1, kCancel = 2 };

class LeaseWatch {
 public:
  static constexpr int kFirstLeaseS = 60;

  // Reads `fd` on a thread of its own, on which `on_lost(why)` is called at most once; the trainer
  // passes a function that does not return. `clock` outlives this; `boot_id` says whose it is.
  LeaseWatch(int fd, const Clock& clock, std::string boot_id,
             std::function<void(const std::string& why)> on_lost);
  // Stops watching: nothing is called after it.
  ~LeaseWatch();
  LeaseWatch(const LeaseWatch&) = delete;
  LeaseWatch& operator=(const LeaseWatch&) = delete;

  // From now on SIGTERM is remembered for the whole process, and is kPreempt where no command came.
  static void TakeSigterm();
  // Whether it came since.
  static bool SigtermCame();
  // The last command, from any thread.
  LeaseCommand command() const;
  // Whether two thirds of the lease passed without renewal. From any thread.
  bool CheckpointDue() const;
  // Counts the leases given; a checkpoint is due once in each.
  int64_t leases() const { return leases_.load(); }

 private:
  void Watch();
  // Returns why the lease is lost, or empty.
  std::string ReadLines();
  void HandleLine(absl::string_view line);
  void TakeLease(const run::LeaseLine& lease);

  // Constant after construction.
  const int fd_;
  const Clock& clock_;
  const std::string boot_id_;
  const std::function<void(const std::string&)> on_lost_;
  int wake_[2];  // a pipe: the destructor ends poll()

  // Written by the watching thread, read by any.
  std::atomic<int64_t> asked_;
  std::atomic<int64_t> deadline_;
  std::atomic<int64_t> leases_ = 0;
  std::atomic<LeaseCommand> command_ = LeaseCommand::kNone;

  // Of the watching thread.
  std::string partial_line_;
  std::optional<int64_t> clock_ahead_ns_;  // this clock minus the other machine's, at most
  int64_t heard_ns_ = 0;                   // when that was last looked at
  std::thread thread_;
};

}  // namespace allometry::trainer
