#include "worker/comm/mpi_world.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/foreign_text.h"
#include "worker/comm/exit_soon.h"
#include "worker/comm/mpi_status.h"
#include "worker/comm/rendezvous.h"

namespace allometry::comm {
namespace {

// MPI counts are int.
constexpr size_t kMaxCount = std::numeric_limits<int>::max();

// What a rank does where nobody else decides.
void ExitOnHang(const absl::Status& why) {
  std::fprintf(stderr, "%s\n", std::string(why.message()).c_str());
  _exit(1);
}

}  // namespace

MpiWorld::MpiWorld(const Options& options)
    : timeout_s_(options.timeout_s),
      watchdog_(options.timeout_s, options.on_hang ? options.on_hang : ExitOnHang) {}

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::Join(const Options& options) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) {
    return absl::FailedPreconditionError("MPI can be started only once in a process");
  }
  std::unique_ptr<MpiWorld> world(new MpiWorld(options));
  ALLO_RETURN_IF_ERROR(world->Start(options.share_memory));
  return world;
}

absl::Status MpiWorld::Start(bool share_memory) {
  const Watchdog::Call call(watchdog_, "the start of MPI");
  // Inside of a call Open MPI waits by spinning. Where ranks share their cores with other processes
  // a spinning rank keeps the one that it waits for from running.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int provided = 0;
  // Abort comes from the thread that watches the lease while the other one is in a collective.
  ALLO_RETURN_IF_ERROR(FromMpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided),
                               "MPI_Init_thread"));
  if (provided != MPI_THREAD_MULTIPLE) {
    return absl::FailedPreconditionError("this MPI has no MPI_THREAD_MULTIPLE");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm host = MPI_COMM_NULL;
  ALLO_RETURN_IF_ERROR(FromMpi(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host),
      "MPI_Comm_split_type"));
  MPI_Comm_rank(host, &local_rank_);
  MPI_Comm_free(&host);
  ALLO_ASSIGN_OR_RETURN(rendezvous_, Rendezvous::Create(MPI_COMM_WORLD, share_memory));
  return absl::OkStatus();
}

MpiWorld::~MpiWorld() {
  if (rendezvous_ == nullptr || leaves_at_once_) return;
  const Watchdog::Call call(watchdog_, "MPI_Finalize");
  rendezvous_.reset();
  MPI_Finalize();
}

absl::Status MpiWorld::Meet(const char* name) {
  const absl::Status met = Annotate(rendezvous_->Wait(timeout_s_), name);
  if (!met.ok()) leaves_at_once_ = true;
  return met;
}

template <class T, class Use>
absl::Status MpiWorld::Exchange(std::span<T> values, const char* name, Use use) {
  ALLO_RETURN_IF_ERROR(Meet(name));
  const Watchdog::Call call(watchdog_, name);
  absl::Status status;
  while (status.ok() && !values.empty()) {
    const size_t count = std::min(values.size(), kMaxCount);
    status = FromMpi(use(values.data(), static_cast<int>(count)), name);
    values = values.subspan(count);
  }
  if (!status.ok()) leaves_at_once_ = true;
  return status;
}

absl::Status MpiWorld::AllReduceSum(std::span<float> values, std::span<double> scalars) {
  if (rendezvous_->has_mailboxes()) return SumOfTwo(values, scalars);
  if (!values.empty()) {
    ALLO_RETURN_IF_ERROR(Exchange(values, "MPI_Allreduce", [](float* data, int count) {
      return MPI_Allreduce(MPI_IN_PLACE, data, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }));
  }
  if (scalars.empty()) return absl::OkStatus();
  return Exchange(scalars, "MPI_Allreduce", [](double* data, int count) {
    return MPI_Allreduce(MPI_IN_PLACE, data, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  });
}

// MPI exchanges a message in many pieces. Where ranks share their cores with other processes, each
// piece may wait for the other rank to be scheduled; so here it is one meeting for 4 MiB. Of two
// numbers there is one sum: it has MPI's bits. For three ranks and more the order of MPI's
// additions depends on its version and the size of the message, so there MPI adds up.
absl::Status MpiWorld::SumOfTwo(std::span<float> values, std::span<double> scalars) {
  while (!values.empty() || !scalars.empty()) {
    const std::span<float> floats =
        values.first(std::min(values.size(), Rendezvous::kMailboxBytes / sizeof(float)));
    const size_t used =
        (floats.size_bytes() + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    const std::span<double> doubles = scalars.first(
        std::min(scalars.size(), (Rendezvous::kMailboxBytes - used) / sizeof(double)));
    std::byte* const mine = rendezvous_->OwnMailbox();
    if (!floats.empty()) std::memcpy(mine, floats.data(), floats.size_bytes());
    if (!doubles.empty()) std::memcpy(mine + used, doubles.data(), doubles.size_bytes());
    ALLO_RETURN_IF_ERROR(Meet("adding up the gradients"));
    const std::byte* const theirs = rendezvous_->MailboxOf(1 - rank_);
    const auto* their_floats = reinterpret_cast<const float*>(theirs);
    for (size_t i = 0; i < floats.size(); ++i) floats[i] += their_floats[i];
    const auto* their_doubles = reinterpret_cast<const double*>(theirs + used);
    for (size_t i = 0; i < doubles.size(); ++i) doubles[i] += their_doubles[i];
    values = values.subspan(floats.size());
    scalars = scalars.subspan(doubles.size());
  }
  return absl::OkStatus();
}

absl::Status MpiWorld::Broadcast(std::span<std::byte> bytes, int root) {
  if (!rendezvous_->has_mailboxes()) {
    return Exchange(bytes, "MPI_Bcast", [root](std::byte* data, int count) {
      return MPI_Bcast(data, count, MPI_BYTE, root, MPI_COMM_WORLD);
    });
  }
  while (!bytes.empty()) {
    const std::span<std::byte> piece =
        bytes.first(std::min(bytes.size(), Rendezvous::kMailboxBytes));
    std::byte* const mine = rendezvous_->OwnMailbox();
    if (rank_ == root) std::memcpy(mine, piece.data(), piece.size());
    ALLO_RETURN_IF_ERROR(Meet("a broadcast"));
    if (rank_ != root) std::memcpy(piece.data(), rendezvous_->MailboxOf(root), piece.size());
    bytes = bytes.subspan(piece.size());
  }
  return absl::OkStatus();
}

absl::Status MpiWorld::Barrier() { return Meet("waiting for the other ranks"); }

absl::Status MpiWorld::Agree(const absl::Status& mine) {
  std::vector<double> codes(static_cast<size_t>(size_), 0.0);
  codes[rank_] = mine.raw_code();
  ALLO_RETURN_IF_ERROR(AllReduceSum({}, std::span(codes)));
  const auto failed =
      std::find_if(codes.begin(), codes.end(), [](double code) { return code != 0; });
  if (failed == codes.end()) return absl::OkStatus();
  const auto root = static_cast<int>(failed - codes.begin());
  std::array<char, 1024> text = {};
  if (rank_ == root) {
    const std::string message = Shortened(mine.message(), text.size() - 1);
    std::copy(message.begin(), message.end(), text.begin());
  }
  ALLO_RETURN_IF_ERROR(Broadcast(std::as_writable_bytes(std::span(text)), root));
  return absl::Status(static_cast<absl::StatusCode>(static_cast<int>(*failed)),
                      absl::StrCat("rank ", root, ": ", text.data()));
}

void MpiWorld::Abort(int exit_code) {
  ExitSoon(exit_code);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  _exit(exit_code);
}

}  // namespace allometry::comm
