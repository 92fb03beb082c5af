// A limit on calls that last, such that no client can take all of it.
//
// A watch holds a thread for hours, and a backup holds a copy of the database on the disk, so each
// kind of call has a limit. When it is reached, a newcomer may replace an older call: one whose
// client has not read for kUnreadNs is cancelled, or else, where the kind allows it, the oldest
// call of the connection that has the most calls (its client reconnects by itself).
//
// Threading: any thread; a Place is used by its call's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "grpcpp/server_context.h"

namespace allometry::coordinator {

class LongCalls {
 public:
  static constexpr int64_t kUnreadNs = 10'000'000'000;

  // `what`: "backups", for messages.
  LongCalls(int most, std::string what, bool oldest_gives_way)
      : most_(most), what_(std::move(what)), oldest_gives_way_(oldest_gives_way) {}

  // One call's share of the limit, until it is destroyed.
  class Place {
   public:
    Place(LongCalls& calls, grpc::ServerContext& context)
        : calls_(calls), context_(context), peer_(context.peer()) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // Calls writer.Write(message), and notes since when it waits for the client.
    template <class Writer, class Message>
    bool Write(Writer& writer, const Message& message) {
      writing_since_ns_ = Clock::Real().BootNanos();
      const bool written = writer.Write(message);
      writing_since_ns_ = 0;
      return written;
    }

   private:
    friend class LongCalls;
    LongCalls& calls_;
    grpc::ServerContext& context_;
    const std::string peer_;
    std::atomic<int64_t> writing_since_ns_ = 0;  // boot clock; 0: not in Write
  };

  // ResourceExhausted: the limit is reached and no call can be cancelled.
  absl::StatusOr<std::unique_ptr<Place>> Enter(grpc::ServerContext& context);

 private:
  // The call to cancel in favour of a newcomer; end(): none.
  std::list<Place*>::iterator CallToCancel() ALLO_REQUIRES(mutex_);

  const int most_;
  const std::string what_;
  const bool oldest_gives_way_;

  Mutex mutex_;
  std::list<Place*> places_ ALLO_GUARDED_BY(mutex_);  // oldest first; not those that were cancelled
};

}  // namespace allometry::coordinator
