// ALLO_COMM_MPI and ALLO_COMM_NCCL say which backends this library was built with.
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "worker/comm/backends.h"

namespace allometry::comm {
namespace {

constexpr Backend kBackends[] = {
    {"self", "one rank, nothing to exchange", CreateSelf},
#ifdef ALLO_COMM_MPI
    {"mpi", "MPI_Allreduce over host memory", CreateMpi},
#endif
#ifdef ALLO_COMM_NCCL
    {"nccl", "NCCL over the memory of one GPU a rank", CreateNccl},
#endif
};

// The first of these environment variables that is a number.
int FirstNumber(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    int value;
    if (text != nullptr && absl::SimpleAtoi(text, &value)) return value;
  }
  return otherwise;
}

}  // namespace

absl::Status Collective::WaitUntil(const std::function<absl::StatusOr<bool>()>& done) {
  for (;;) {
    ALLO_ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    std::this_thread::yield();
  }
}

std::span<const Backend> Backends() { return kBackends; }

absl::StatusOr<std::unique_ptr<Collective>> Create(absl::string_view name, const Options& options) {
  std::vector<std::string> names;
  for (const Backend& backend : kBackends) {
    if (name == backend.name) return backend.create(options);
    names.push_back(backend.name);
  }
  return absl::NotFoundError(
      absl::StrCat("collective '", name, "' is not in this executable; it has ",
                   absl::StrJoin(names, ", "), " (nccl is in allo-trainer-cuda)"));
}

int LaunchedRanks() {
  return FirstNumber({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1);
}

int LaunchedRank() { return FirstNumber({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}, 0); }

}  // namespace allometry::comm
