// A rendezvous: the ranks of a job wait for each other without using the processor.
//
// MPI waits by polling. A rank that polls for a slower one takes processor time that the slower one
// may need. So every collective begins with a rendezvous: ranks of one host spin for a few
// microseconds and then sleep in the kernel, on a futex in shared memory. Ranks of several hosts
// poll an MPI_Ibarrier and sleep between the polls, up to a millisecond. The MPI call that follows
// then waits for no rank.
//
// Two ranks of one host also have mailboxes in shared memory. What a rank writes into its own
// mailbox before a rendezvous, the other may read until the next one.
//
// Threads: one thread uses a Rendezvous.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"

namespace allometry::comm {

class Rendezvous {
 public:
  // Together with all ranks of `world`, which outlives this. `share_memory` false: meets as on
  // several hosts.
  static absl::StatusOr<std::unique_ptr<Rendezvous>> Create(MPI_Comm world, bool share_memory);
  // Together with all ranks, before MPI_Finalize.
  ~Rendezvous();
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  // Returns when every rank has called it. Aborted, with the ranks that are missing where they
  // are known, after `timeout_s`. Time during which this process was stopped does not count.
  absl::Status Wait(double timeout_s);

  // There are two ranks, and they have mailboxes of so many bytes.
  bool has_mailboxes() const { return mailboxes_ != nullptr; }
  static constexpr size_t kMailboxBytes = 4 << 20;
  // To be written before the next Wait, aligned for any type.
  std::byte* OwnMailbox() const { return Mailbox(rank_, meetings_ + 1); }
  // What the rank wrote before the last Wait.
  const std::byte* MailboxOf(int rank) const { return Mailbox(rank, meetings_); }

 private:
  // Counters in shared memory. `meeting` counts the meetings that took place; rank r stores in
  // came[r] how often it has called Wait.
  struct Place;
  // A rank has two in turn: it may write the one while others still read the other.
  std::byte* Mailbox(int rank, uint32_t meeting) const {
    return mailboxes_ + (2 * static_cast<size_t>(rank) + meeting % 2) * kMailboxBytes;
  }
  static size_t PlaceBytes(int ranks);
  explicit Rendezvous(MPI_Comm world) : world_(world) {}
  // False where the ranks are on several hosts, or no memory can be shared.
  absl::StatusOr<bool> ShareMemory();
  absl::Status WaitInSharedMemory(double timeout_s);
  absl::Status WaitThroughMpi(double timeout_s);

  const MPI_Comm world_;
  int rank_ = 0, size_ = 0;
  MPI_Comm host_ = MPI_COMM_NULL;  // the ranks of this host
  MPI_Win window_ = MPI_WIN_NULL;
  Place* place_ = nullptr;
  std::byte* mailboxes_ = nullptr;
  uint32_t meetings_ = 0;                      // that this rank was at
  std::chrono::duration<double> spin_{50e-6};  // before it sleeps; as long as it has helped
};

}  // namespace allometry::comm
