#include "worker/trainer/device.h"

namespace allometry::trainer {

absl::StatusOr<ComputeDevice> OpenDevice(run::DeviceKind kind, int, bool) {
  if (kind == run::DeviceKind::kCuda) {
    return absl::FailedPreconditionError(
        "run.json asks for device cuda; this executable computes on CPUs only: use "
        "allo-trainer-cuda on a machine with a GPU, or device cpu");
  }
  return OpenCpu();
}

std::unique_ptr<BatchFeed> CreateFeed(const ComputeDevice&, WaitUntil) { return CreateHostFeed(); }

std::unique_ptr<models::GuardedUpdate> CreateUpdate(const ComputeDevice&,
                                                    const models::ParameterLayout& layout,
                                                    const models::AdamWOptions& options) {
  return models::CreateHostUpdate(layout, options);
}

std::unique_ptr<GraphRecorder> CreateRecorder(const ComputeDevice&) { return nullptr; }

int64_t PeakMemoryBytes(const ComputeDevice&) { return PeakHostBytes(); }

}  // namespace allometry::trainer
