#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "models/cuda/update.h"
#include "worker/trainer/device.h"

namespace allometry::trainer {
namespace {

// The least compute capability that models/cuda/kernels.cu is compiled for.
constexpr int kLeastMajor = 8;

// LibTorch's graphs: memory that the recorded work uses is kept for it.
class CudaGraphRecorder final : public GraphRecorder {
 public:
  absl::Status Begin() override {
    return FromTorch([this] {
      // The recorded work has memory of its own; what it used before would stay beside it.
      c10::cuda::CUDACachingAllocator::emptyCache();
      // Thread-local: threads that do not take part may go on using the device.
      graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    });
  }
  absl::Status End() override {
    return FromTorch([this] { graph_.capture_end(); });
  }
  absl::Status Replay() override {
    return FromTorch([this] { graph_.replay(); });
  }

 private:
  template <class Call>
  static absl::Status FromTorch(Call call) {
    try {
      call();
    } catch (const std::exception& error) {
      return absl::InternalError(absl::StrCat("CUDA graph: ", error.what()));
    }
    return absl::OkStatus();
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace

absl::StatusOr<ComputeDevice> OpenDevice(run::DeviceKind kind, int index, bool deterministic) {
  if (kind == run::DeviceKind::kCpu) return OpenCpu();

  int gpus = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&gpus); error != cudaSuccess || gpus == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("run.json asks for device cuda and there is no GPU on this machine (",
                     cudaGetErrorString(error), "): use a machine with one, or device cpu"));
  }
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    return absl::FailedPreconditionError(
        absl::StrCat("GPU ", index, ": ", cudaGetErrorString(error)));
  }
  if (properties.major < kLeastMajor) {
    return absl::FailedPreconditionError(absl::StrCat(
        "GPU ", index, ", ", properties.name, ", has compute capability ", properties.major, ".",
        properties.minor, ": allowed is ", kLeastMajor, ".0 (A100) and newer"));
  }
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  if (deterministic) {
    // cuBLAS promises the same bits only with a fixed workspace, read at its first use.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  ComputeDevice device;
  device.device = {.cuda = true, .index = index};
  // The default stream cannot be captured.
  const c10::cuda::CUDAStream stream =
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(index));
  c10::cuda::setCurrentCUDAStream(stream);
  device.stream = stream.stream();
  device.model = properties.name;
  return device;
}

std::unique_ptr<BatchFeed> CreateFeed(const ComputeDevice& device, WaitUntil wait) {
  if (!device.device.cuda) return CreateHostFeed();
  return CreateCudaFeed(device.stream, std::move(wait));
}

std::unique_ptr<models::GuardedUpdate> CreateUpdate(const ComputeDevice& device,
                                                    const models::ParameterLayout& layout,
                                                    const models::AdamWOptions& options) {
  if (!device.device.cuda) return models::CreateHostUpdate(layout, options);
  return models::cuda::CreateUpdate(layout, options, device.device);
}

std::unique_ptr<GraphRecorder> CreateRecorder(const ComputeDevice& device) {
  if (!device.device.cuda) return nullptr;
  return std::make_unique<CudaGraphRecorder>();
}

int64_t PeakMemoryBytes(const ComputeDevice& device) {
  if (!device.device.cuda) return PeakHostBytes();
  // Element 0 of a statistic is the sum over the allocator's pools.
  return c10::cuda::CUDACachingAllocator::getDeviceStats(
             static_cast<c10::DeviceIndex>(device.device.index))
      .reserved_bytes[0]
      .peak;
}

}  // namespace allometry::trainer
