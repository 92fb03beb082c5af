// Records given to a Dispatch or a Store, and what it says of them.
#pragma once

#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "proto/worker.pb.h"

namespace allometry::testing {

// Waits until the store has them, or refuses them.
template <class Appender>
absl::StatusOr<v1::RecordAck> AppendAndWait(Appender& to, const v1::RecordBatch& batch) {
  Mutex mutex;
  ConditionVariable done;
  absl::StatusOr<v1::RecordAck> result;
  bool finished = false;
  to.Append(batch, [&](absl::StatusOr<v1::RecordAck> ack) {
    MutexLock lock(mutex);
    result = std::move(ack);
    finished = true;
    done.NotifyAll();
  });
  MutexLock lock(mutex);
  while (!finished) done.Wait(lock);
  return result;
}

}  // namespace allometry::testing
