// This process's membership of MPI_COMM_WORLD: at most once in a process, as MPI wants it.
//
// Every call waits for the other ranks without using the processor (meeting.h), and returns
// Aborted where they do not come within Options::timeout_s; where they came and hang inside of
// MPI, Options::on_hang is called.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/status.h"
#include "worker/comm/collective.h"
#include "worker/comm/watchdog.h"

namespace allometry::comm {

class Rendezvous;

class MpiWorld {
 public:
  // MPI_Init_thread. FailedPrecondition where this process has been a member before.
  static absl::StatusOr<std::unique_ptr<MpiWorld>> Join(const Options& options);
  // MPI_Finalize, which waits for the other ranks. After an error that this rank alone may have, of
  // this class or by LeaveAtOnce(), it does nothing: a process that ends with an exit code other
  // than 0 and without MPI_Finalize ends the job.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  void LeaveAtOnce() { leaves_at_once_ = true; }

  int rank() const { return rank_; }
  int size() const { return size_; }
  // This rank's place among those of its host: of those that can share memory, whatever the
  // launcher's variables say.
  int local_rank() const { return local_rank_; }

  // Each is summed as MPI_Allreduce does it; of two ranks of one host in memory that they share,
  // with the same bits.
  absl::Status AllReduceSum(std::span<float> values, std::span<double> scalars);
  absl::Status Broadcast(std::span<std::byte> bytes, int root);
  absl::Status Barrier();
  // For phases that may fail on one rank alone. Every rank gets OK if `mine` is OK on all of them,
  // otherwise the failure of the lowest rank that has one.
  absl::Status Agree(const absl::Status& mine);
  // From any thread.
  [[noreturn]] void Abort(int exit_code);

 private:
  explicit MpiWorld(const Options& options);
  absl::Status Start(bool share_memory);
  // Waits for all ranks.
  absl::Status Meet(const char* name);
  absl::Status SumOfTwo(std::span<float> values, std::span<double> scalars);
  // Calls use(piece) for pieces that MPI can count, after a meeting.
  template <class T, class Use>
  absl::Status Exchange(std::span<T> values, const char* name, Use use);

  const double timeout_s_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  bool leaves_at_once_ = false;
  Watchdog watchdog_;
  std::unique_ptr<Rendezvous> rendezvous_;
};

}  // namespace allometry::comm
