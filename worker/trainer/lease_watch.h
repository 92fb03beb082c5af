// A leased trainer lives by its lease: what the agent says on rank 0's standard input.
//
//   lease ASKED DEADLINE   CLOCK_BOOTTIME nanoseconds: renewed, counted from when it was asked for
//   preempt                checkpoint and end as PREEMPTED
//   cancel                 checkpoint and end as CANCELLED_BY_USER
//
// End of file or a passed deadline means that the run may already be somebody else's: the trainer
// ends at once without another write. The first lease must come within kFirstLeaseS.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/status.h"

namespace allometry::trainer {

enum class LeaseCommand { kNone = 0, kPreempt = 1, kCancel = 2 };

class LeaseWatch {
 public:
  static constexpr int kFirstLeaseS = 60;

  // Reads `fd` on a thread of its own, on which `on_lost(why)` is called at most once; the trainer
  // passes a function that does not return. `clock` outlives this.
  LeaseWatch(int fd, const Clock& clock, std::function<void(const std::string& why)> on_lost);
  // Stops watching: nothing is called after it.
  ~LeaseWatch();
  LeaseWatch(const LeaseWatch&) = delete;
  LeaseWatch& operator=(const LeaseWatch&) = delete;

  // The last command, from any thread.
  LeaseCommand command() const { return command_.load(); }
  // Whether two thirds of the lease passed without renewal. From any thread.
  bool CheckpointDue() const;
  // Counts the leases given; a checkpoint is due once in each.
  int64_t leases() const { return leases_.load(); }

 private:
  void Watch();
  // Returns why the lease is lost, or empty.
  std::string ReadLines();
  void HandleLine(absl::string_view line);

  // Constant after construction.
  const int fd_;
  const Clock& clock_;
  const std::function<void(const std::string&)> on_lost_;
  int wake_[2];  // a pipe: the destructor ends poll()

  // Written by the watching thread, read by any.
  std::atomic<int64_t> asked_;
  std::atomic<int64_t> deadline_;
  std::atomic<int64_t> leases_ = 0;
  std::atomic<LeaseCommand> command_ = LeaseCommand::kNone;

  std::string partial_line_;  // of the watching thread
  std::thread thread_;
};

}  // namespace allometry::trainer
