// Records given to a Dispatch, and what it says of them.
#pragma once

#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/leases/dispatch.h"
#include "proto/worker.pb.h"

namespace allometry::testing {

// Waits until the store has them, or refuses them.
inline absl::StatusOr<v1::RecordAck> AppendAndWait(coordinator::Dispatch& dispatch,
                                                   const v1::RecordBatch& batch) {
  Mutex mutex;
  ConditionVariable done;
  absl::StatusOr<v1::RecordAck> result;
  bool finished = false;
  dispatch.Append(batch, [&](absl::StatusOr<v1::RecordAck> ack) {
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
