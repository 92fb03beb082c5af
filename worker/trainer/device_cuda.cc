#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "worker/trainer/device.h"

namespace allometry::trainer {

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
  device.stream = c10::cuda::getCurrentCUDAStream().stream();
  device.model = properties.name;
  return device;
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
