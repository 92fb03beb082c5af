// A sweep's changes as lines of JSON, for as long as the browser reads them.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "proto/client.grpc.pb.h"

namespace allometry::web {

// A call of WatchChanges whose next message can be waited for with a limit, so that a browser that
// has left is noticed while nothing happens in the sweep. One thread.
class ChangesStream {
 public:
  ChangesStream(v1::ClientService::Stub& coordinator, const v1::WatchChangesRequest& request);
  ~ChangesStream();
  ChangesStream(const ChangesStream&) = delete;
  ChangesStream& operator=(const ChangesStream&) = delete;

  enum class Next { kMessage, kNothingYet, kEnded };
  // After kMessage, message() is it. After kEnded, status() says why.
  Next Wait(std::chrono::milliseconds limit);

  const v1::SweepChanges& message() const { return message_; }
  const grpc::Status& status() const { return status_; }

 private:
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  v1::SweepChanges message_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::SweepChanges>> reader_;
  enum class Awaiting { kStart, kRead, kFinish, kNothing } awaiting_ = Awaiting::kStart;
  bool is_stale_ = false;  // message_ was given out: read the next one
};

}  // namespace allometry::web
