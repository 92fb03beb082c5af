#include <cuda_runtime_api.h>

#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/trainer/batch_feed.h"

namespace allometry::trainer {
namespace {

constexpr size_t kAlignment = 256;

absl::Status FromCuda(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  if (error == cudaErrorMemoryAllocation) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
  }
  return absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

class CudaFeed final : public BatchFeed {
 public:
  CudaFeed(cudaStream_t updates, WaitUntil wait) : updates_(updates), wait_(std::move(wait)) {}

  ~CudaFeed() override {
    for (Slot& slot : slots_) {
      if (slot.copied != nullptr) cudaEventDestroy(slot.copied);
      if (slot.taken != nullptr) cudaEventDestroy(slot.taken);
      if (slot.pinned != nullptr) cudaFreeHost(slot.pinned);
      if (slot.device != nullptr) cudaFree(slot.device);
    }
    if (place_ != nullptr) cudaFree(place_);
    if (copies_ != nullptr) cudaStreamDestroy(copies_);
  }

  absl::StatusOr<FedUpdate> Push(const models::Batch& batch,
                                 const models::UpdateInputs& inputs) override {
    const Parts parts = {std::as_bytes(std::span(&inputs, 1)), std::as_bytes(batch.inputs),
                         std::as_bytes(batch.targets), std::as_bytes(batch.images)};
    if (copies_ == nullptr) ALLO_RETURN_IF_ERROR(Allocate(parts));
    for (size_t i = 0; i < parts.size(); ++i) ALLO_CHECK(parts[i].size() == sizes_[i]);

    Slot& slot = slots_[pushed_++ % slots_.size()];
    if (slot.used) {
      ALLO_RETURN_IF_ERROR(wait_([&]() -> absl::StatusOr<bool> {
        const cudaError_t state = cudaEventQuery(slot.copied);
        if (state == cudaErrorNotReady) return false;
        ALLO_RETURN_IF_ERROR(FromCuda(state, "copying a batch to the GPU"));
        return true;
      }));
      ALLO_RETURN_IF_ERROR(
          FromCuda(cudaStreamWaitEvent(copies_, slot.taken, 0), "cudaStreamWaitEvent"));
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i].empty()) {
        std::memcpy(slot.pinned + offsets_[i], parts[i].data(), parts[i].size());
      }
    }
    ALLO_RETURN_IF_ERROR(
        FromCuda(cudaMemcpyAsync(slot.device, slot.pinned, bytes_, cudaMemcpyHostToDevice, copies_),
                 "cudaMemcpyAsync to the GPU"));
    ALLO_RETURN_IF_ERROR(FromCuda(cudaEventRecord(slot.copied, copies_), "cudaEventRecord"));
    ALLO_RETURN_IF_ERROR(
        FromCuda(cudaStreamWaitEvent(updates_, slot.copied, 0), "cudaStreamWaitEvent"));
    ALLO_RETURN_IF_ERROR(
        FromCuda(cudaMemcpyAsync(place_, slot.device, bytes_, cudaMemcpyDeviceToDevice, updates_),
                 "cudaMemcpyAsync on the GPU"));
    ALLO_RETURN_IF_ERROR(FromCuda(cudaEventRecord(slot.taken, updates_), "cudaEventRecord"));
    slot.used = true;

    FedUpdate fed = {batch, reinterpret_cast<const models::UpdateInputs*>(place_ + offsets_[0])};
    fed.batch.device_inputs = reinterpret_cast<const int32_t*>(place_ + offsets_[1]);
    fed.batch.device_targets = reinterpret_cast<const int32_t*>(place_ + offsets_[2]);
    if (!batch.images.empty()) {
      fed.batch.device_images = reinterpret_cast<const uint8_t*>(place_ + offsets_[3]);
    }
    return fed;
  }

 private:
  using Parts = std::array<std::span<const std::byte>, 4>;
  struct Slot {
    std::byte* pinned = nullptr;  // host
    std::byte* device = nullptr;
    cudaEvent_t copied = nullptr;  // pinned -> device
    cudaEvent_t taken = nullptr;   // device -> the place
    bool used = false;
  };

  absl::Status Allocate(const Parts& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
      offsets_[i] = bytes_;
      sizes_[i] = parts[i].size();
      bytes_ += (parts[i].size() + kAlignment - 1) / kAlignment * kAlignment;
    }
    ALLO_RETURN_IF_ERROR(
        FromCuda(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "cudaStreamCreate"));
    ALLO_RETURN_IF_ERROR(
        FromCuda(cudaMalloc(reinterpret_cast<void**>(&place_), bytes_), "cudaMalloc"));
    for (Slot& slot : slots_) {
      ALLO_RETURN_IF_ERROR(FromCuda(
          cudaHostAlloc(reinterpret_cast<void**>(&slot.pinned), bytes_, cudaHostAllocDefault),
          "cudaHostAlloc"));
      std::memset(slot.pinned, 0, bytes_);
      ALLO_RETURN_IF_ERROR(
          FromCuda(cudaMalloc(reinterpret_cast<void**>(&slot.device), bytes_), "cudaMalloc"));
      for (cudaEvent_t* event : {&slot.copied, &slot.taken}) {
        ALLO_RETURN_IF_ERROR(
            FromCuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreate"));
      }
    }
    return absl::OkStatus();
  }

  const cudaStream_t updates_;
  const WaitUntil wait_;
  cudaStream_t copies_ = nullptr;
  std::array<size_t, 4> offsets_ = {}, sizes_ = {};
  size_t bytes_ = 0;  // of a buffer
  std::byte* place_ = nullptr;
  std::array<Slot, 2> slots_;
  int64_t pushed_ = 0;
};

}  // namespace

std::unique_ptr<BatchFeed> CreateCudaFeed(void* stream, WaitUntil wait) {
  return std::make_unique<CudaFeed>(static_cast<cudaStream_t>(stream), std::move(wait));
}

}  // namespace allometry::trainer
