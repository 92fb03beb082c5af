// This process's membership of MPI_COMM_WORLD: at most once in a process, as MPI wants it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/status.h"

namespace allometry::comm {

class MpiWorld {
 public:
  // MPI_Init_thread. FailedPrecondition where this process has been a member before.
  static absl::StatusOr<std::unique_ptr<MpiWorld>> Join();
  // MPI_Finalize.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  absl::Status AllReduceSum(std::span<float> values);
  absl::Status AllReduceSum(std::span<double> values);
  absl::Status Broadcast(std::span<std::byte> bytes, int root);
  absl::Status Barrier();
  // From any thread.
  [[noreturn]] void Abort(int exit_code);

 private:
  MpiWorld(int rank, int size) : rank_(rank), size_(size) {}
  const int rank_;
  const int size_;
};

}  // namespace allometry::comm
