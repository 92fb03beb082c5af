#include "worker/comm/rendezvous.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/comm/mpi_status.h"
#include "worker/comm/wait_limit.h"

namespace allometry::comm {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// About what a sleep and a wake-up cost; and where ranks share their cores, so that spinning helps
// nobody, next to nothing.
constexpr Seconds kLongestSpin(50e-6), kShortestSpin(2e-6);
// Between two polls of MPI.
constexpr Seconds kShortestNap(10e-6), kLongestNap(1e-3);

timespec ToTimespec(Seconds duration) {
  const auto seconds = static_cast<time_t>(duration.count());
  return {seconds, static_cast<long>((duration.count() - static_cast<double>(seconds)) * 1e9)};
}

// Sleeps while `word` has `value`, until WakeAll or a timeout.
void SleepWhile(std::atomic<uint32_t>& word, uint32_t value, Seconds timeout) {
  const timespec time = ToTimespec(timeout);
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &time, nullptr, 0);
}

// Asks for time slices of 0.1 ms, the least that there are. Without them the scheduler (EEVDF,
// Linux 6.12 and newer) lets a rank that is woken wait until the busy process on its core has used
// up a slice of its own, some milliseconds for each sum. The rank's share of the processor stays
// the same. Where it is not known, nothing happens.
void AskForShortTimeSlices() {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
  } attributes = {};
  static_assert(sizeof attributes == 48);  // SCHED_ATTR_SIZE_VER0
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime_ns = 100'000;
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void WakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

struct Rendezvous::Place {
  alignas(64) std::atomic<uint32_t> here;
  alignas(64) std::atomic<uint32_t> meeting;
  std::atomic<uint32_t> sleepers;
  alignas(64) std::atomic<uint32_t> came[];  // by rank
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

size_t Rendezvous::PlaceBytes(int ranks) {
  const size_t bytes = sizeof(Place) + static_cast<size_t>(ranks) * sizeof(std::atomic<uint32_t>);
  constexpr size_t kPage = 4096;
  return (bytes + kPage - 1) / kPage * kPage;
}

absl::StatusOr<std::unique_ptr<Rendezvous>> Rendezvous::Create(MPI_Comm world, bool share_memory) {
  std::unique_ptr<Rendezvous> meeting(new Rendezvous(world));
  MPI_Comm_rank(world, &meeting->rank_);
  MPI_Comm_size(world, &meeting->size_);
  if (meeting->size_ > 1) AskForShortTimeSlices();
  if (share_memory && meeting->size_ > 1) ALLO_RETURN_IF_ERROR(meeting->ShareMemory().status());
  return meeting;
}

absl::StatusOr<bool> Rendezvous::ShareMemory() {
  ALLO_RETURN_IF_ERROR(
      FromMpi(MPI_Comm_split_type(world_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host_),
              "MPI_Comm_split_type"));
  MPI_Comm_set_errhandler(host_, MPI_ERRORS_RETURN);
  int here = 0;
  MPI_Comm_size(host_, &here);
  int shared = here == size_ ? 1 : 0;
  if (shared == 1) {
    // Rank 0 asks for all of it. Memory that is never written takes no room.
    const size_t bytes = PlaceBytes(size_) + (size_ == 2 ? 4 * kMailboxBytes : 0);
    void* mine = nullptr;
    const int allocated = MPI_Win_allocate_shared(rank_ == 0 ? static_cast<MPI_Aint>(bytes) : 0, 1,
                                                  MPI_INFO_NULL, host_, &mine, &window_);
    if (allocated != MPI_SUCCESS) {
      window_ = MPI_WIN_NULL;
      shared = 0;
    }
  }
  // One way for all ranks.
  ALLO_RETURN_IF_ERROR(
      FromMpi(MPI_Allreduce(MPI_IN_PLACE, &shared, 1, MPI_INT, MPI_MIN, world_), "MPI_Allreduce"));
  if (shared == 0) {
    window_ = MPI_WIN_NULL;
    return false;
  }
  MPI_Aint bytes = 0;
  int unit = 0;
  void* base = nullptr;
  ALLO_RETURN_IF_ERROR(
      FromMpi(MPI_Win_shared_query(window_, 0, &bytes, &unit, &base), "MPI_Win_shared_query"));
  if (rank_ == 0) {
    place_ = new (base) Place{};
    for (int rank = 0; rank < size_; ++rank) new (&place_->came[rank]) std::atomic<uint32_t>(0);
  }
  ALLO_RETURN_IF_ERROR(FromMpi(MPI_Barrier(host_), "MPI_Barrier"));
  place_ = static_cast<Place*>(base);
  if (size_ == 2) mailboxes_ = static_cast<std::byte*>(base) + PlaceBytes(size_);
  return true;
}

Rendezvous::~Rendezvous() {
  if (window_ != MPI_WIN_NULL) MPI_Win_free(&window_);
  if (host_ != MPI_COMM_NULL) MPI_Comm_free(&host_);
}

absl::Status Rendezvous::Wait(double timeout_s) {
  if (size_ == 1) return absl::OkStatus();
  return place_ != nullptr ? WaitInSharedMemory(timeout_s) : WaitThroughMpi(timeout_s);
}

absl::Status Rendezvous::WaitInSharedMemory(double timeout_s) {
  Place& place = *place_;
  const uint32_t meeting = meetings_++;
  place.came[rank_].store(meeting + 1);
  if (place.here.fetch_add(1) + 1 == static_cast<uint32_t>(size_)) {
    place.here.store(0);
    place.meeting.store(meeting + 1);
    if (place.sleepers.load() > 0) WakeAll(place.meeting);
    return absl::OkStatus();
  }
  const auto over = [&place, meeting] { return place.meeting.load() != meeting; };
  const Clock::time_point begin = Clock::now();
  while (Clock::now() - begin < spin_) {
    for (int i = 0; i < 16; ++i) {
      if (over()) return absl::OkStatus();
      _mm_pause();
    }
  }
  WaitLimit patience(timeout_s);
  place.sleepers.fetch_add(1);
  while (!over() && !patience.Ended()) {
    SleepWhile(place.meeting, meeting, std::min(patience.left(), WaitLimit::kLongestStep));
  }
  place.sleepers.fetch_sub(1);
  const bool spinning_helps = Clock::now() - begin < 2 * kLongestSpin;
  spin_ = std::clamp<Seconds>(spinning_helps ? 2 * spin_ : spin_ / 2, kShortestSpin, kLongestSpin);
  if (over()) return absl::OkStatus();
  std::vector<int> missing;
  for (int rank = 0; rank < size_; ++rank) {
    if (place.came[rank].load() != meeting + 1) missing.push_back(rank);
  }
  return absl::AbortedError(
      absl::StrFormat("no answer from rank %s in %g s", absl::StrJoin(missing, ", "), timeout_s));
}

absl::Status Rendezvous::WaitThroughMpi(double timeout_s) {
  MPI_Request request = MPI_REQUEST_NULL;
  ALLO_RETURN_IF_ERROR(FromMpi(MPI_Ibarrier(world_, &request), "MPI_Ibarrier"));
  WaitLimit patience(timeout_s);
  const Clock::time_point begin = Clock::now();
  for (Seconds nap = kShortestNap;;) {
    int met = 0;
    ALLO_RETURN_IF_ERROR(FromMpi(MPI_Test(&request, &met, MPI_STATUS_IGNORE), "MPI_Ibarrier"));
    if (met != 0) return absl::OkStatus();
    if (patience.Ended()) {
      return absl::AbortedError(absl::StrFormat("no answer from other ranks in %g s", timeout_s));
    }
    if (Clock::now() - begin < kLongestSpin) continue;
    const timespec time = ToTimespec(nap);
    nanosleep(&time, nullptr);
    nap = std::min(2 * nap, kLongestNap);
  }
}

}  // namespace allometry::comm
