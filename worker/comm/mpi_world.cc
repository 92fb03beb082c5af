#include "worker/comm/mpi_world.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "absl/strings/str_cat.h"
#include "worker/comm/exit_soon.h"

namespace allometry::comm {
namespace {

// MPI counts are int.
constexpr size_t kMaxCount = std::numeric_limits<int>::max();

absl::Status ToStatus(int error, absl::string_view what) {
  if (error == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(error, text, &length);
  return absl::UnavailableError(absl::StrCat(what, ": ", absl::string_view(text, length)));
}

// Calls use(piece) for pieces that MPI can count.
template <class T, class Use>
absl::Status InPieces(std::span<T> values, Use use) {
  while (!values.empty()) {
    const size_t count = std::min(values.size(), kMaxCount);
    ALLO_RETURN_IF_ERROR(use(values.first(count)));
    values = values.subspan(count);
  }
  return absl::OkStatus();
}

template <class T>
absl::Status Sum(std::span<T> values, MPI_Datatype type) {
  return InPieces(values, [type](std::span<T> piece) {
    return ToStatus(MPI_Allreduce(MPI_IN_PLACE, piece.data(), static_cast<int>(piece.size()), type,
                                  MPI_SUM, MPI_COMM_WORLD),
                    "MPI_Allreduce");
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::Join() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) {
    return absl::FailedPreconditionError("MPI can be started only once in a process");
  }
  // Open MPI waits by spinning. Where ranks share their cores with other processes a spinning rank
  // keeps the one that it waits for from running: twice as slow on a busy machine of two cores.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int provided = 0;
  // Abort comes from the thread that watches the lease while the other one is in a collective.
  ALLO_RETURN_IF_ERROR(ToStatus(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided),
                                "MPI_Init_thread"));
  if (provided != MPI_THREAD_MULTIPLE) {
    return absl::FailedPreconditionError("this MPI has no MPI_THREAD_MULTIPLE");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return std::unique_ptr<MpiWorld>(new MpiWorld(rank, size));
}

MpiWorld::~MpiWorld() { MPI_Finalize(); }

absl::Status MpiWorld::AllReduceSum(std::span<float> values) { return Sum(values, MPI_FLOAT); }
absl::Status MpiWorld::AllReduceSum(std::span<double> values) { return Sum(values, MPI_DOUBLE); }

absl::Status MpiWorld::Broadcast(std::span<std::byte> bytes, int root) {
  return InPieces(bytes, [root](std::span<std::byte> piece) {
    return ToStatus(
        MPI_Bcast(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, root, MPI_COMM_WORLD),
        "MPI_Bcast");
  });
}

absl::Status MpiWorld::Barrier() { return ToStatus(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"); }

void MpiWorld::Abort(int exit_code) {
  ExitSoon(exit_code);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  _exit(exit_code);
}

}  // namespace allometry::comm
