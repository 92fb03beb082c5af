#include "web/changes_stream.h"

namespace allometry::web {

ChangesStream::ChangesStream(v1::ClientService::Stub& coordinator,
                             const v1::WatchChangesRequest& request)
    : reader_(coordinator.AsyncWatchChanges(&context_, request, &queue_, nullptr)) {}

ChangesStream::~ChangesStream() {
  context_.TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

ChangesStream::Next ChangesStream::Wait(std::chrono::milliseconds limit) {
  const auto until = std::chrono::system_clock::now() + limit;
  if (is_stale_) {
    is_stale_ = false;
    awaiting_ = Awaiting::kRead;
    reader_->Read(&message_, nullptr);
  }
  while (awaiting_ != Awaiting::kNothing) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, until) != grpc::CompletionQueue::GOT_EVENT) {
      return Next::kNothingYet;
    }
    if (awaiting_ == Awaiting::kFinish) {
      awaiting_ = Awaiting::kNothing;
    } else if (!ok) {
      awaiting_ = Awaiting::kFinish;
      reader_->Finish(&status_, nullptr);
    } else if (awaiting_ == Awaiting::kStart) {
      awaiting_ = Awaiting::kRead;
      reader_->Read(&message_, nullptr);
    } else {
      is_stale_ = true;
      return Next::kMessage;
    }
  }
  return Next::kEnded;
}

}  // namespace allometry::web
