#include "worker/trainer/device.h"

namespace allometry::trainer {

absl::StatusOr<ComputeDevice> OpenDevice(const std::string& kind, int, bool) {
  if (kind == "cuda") {
    return absl::FailedPreconditionError(
        "run.json asks for device cuda; this executable computes on CPUs only: use "
        "allo-trainer-cuda on a machine with a GPU, or device cpu");
  }
  return OpenCpu();
}

int64_t PeakMemoryBytes(const ComputeDevice&) { return PeakHostBytes(); }

}  // namespace allometry::trainer
