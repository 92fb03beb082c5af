#include "coordinator/services/bounded_service.h"

#include <malloc.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "grpc/byte_buffer.h"

namespace allometry::coordinator {
namespace {

using grpc::internal::MethodHandler;

class BoundedHandler : public MethodHandler {
 public:
  BoundedHandler(std::unique_ptr<MethodHandler> inner, size_t small_bytes, size_t most_bytes,
                 BoundedService::Memory& memory)
      : inner_(std::move(inner)),
        small_bytes_(small_bytes),
        most_bytes_(most_bytes),
        memory_(memory) {}

  // Before RunHandler of the same call, on the same thread; also where it fails.
  void* Deserialize(grpc_call* call, grpc_byte_buffer* request, grpc::Status* status,
                    void** data) override {
    const size_t bytes = request == nullptr ? 0 : grpc_byte_buffer_length(request);
    if (bytes > most_bytes_) {
      grpc_byte_buffer_destroy(request);
      *status = grpc::Status(
          grpc::StatusCode::RESOURCE_EXHAUSTED,
          absl::StrFormat("the request has %d bytes: allowed are at most %d", bytes, most_bytes_));
      return nullptr;
    }
    if (bytes > small_bytes_) memory_.Take(bytes);
    large_ = bytes >= kLargeBytes;
    return inner_->Deserialize(call, request, status, data);
  }

  void RunHandler(const HandlerParameter& parameter) override {
    inner_->RunHandler(parameter);
    memory_.GiveBackOfThisCall();  // of one that could not be parsed
    // Each thread that parses has a heap of its own, which would keep its largest size.
    if (std::exchange(large_, false)) malloc_trim(0);
  }

 private:
  static constexpr size_t kLargeBytes = 256 << 10;
  static thread_local bool large_;  // the request of the call that this thread serves

  const std::unique_ptr<MethodHandler> inner_;
  const size_t small_bytes_;
  const size_t most_bytes_;
  BoundedService::Memory& memory_;
};

thread_local bool BoundedHandler::large_ = false;

}  // namespace

thread_local size_t BoundedService::Memory::of_this_call_ = 0;

void BoundedService::Memory::Take(size_t bytes) {
  MutexLock lock(mutex_);
  while (taken_ > 0 && taken_ + bytes > kMostBytes) changed_.Wait(lock);
  taken_ += bytes;
  of_this_call_ = bytes;
}

void BoundedService::Memory::GiveBackOfThisCall() {
  if (of_this_call_ == 0) return;
  MutexLock lock(mutex_);
  taken_ -= std::exchange(of_this_call_, 0);
  changed_.NotifyAll();
}

void BoundedService::Add(absl::string_view name, grpc::internal::RpcMethod::RpcType type,
                         size_t most_bytes, std::unique_ptr<MethodHandler> handler) {
  ALLO_CHECK(descriptor_.FindMethodByName(std::string(name)) != nullptr) << name;
  names_.push_back(absl::StrCat("/", descriptor_.full_name(), "/", name));
  if (most_bytes > 0) {
    handler =
        std::make_unique<BoundedHandler>(std::move(handler), kSmallBytes, most_bytes, memory_);
  }
  AddMethod(new grpc::internal::RpcServiceMethod(names_.back().c_str(), type, handler.release()));
}

void BoundedService::CheckComplete() const {
  ALLO_CHECK(static_cast<int>(names_.size()) == descriptor_.method_count())
      << descriptor_.full_name() << " has " << descriptor_.method_count() << " methods, "
      << names_.size() << " are served";
}

}  // namespace allometry::coordinator
