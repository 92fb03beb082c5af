#include "absl/strings/str_join.h"
#include "models/autograd_step.h"
#include "models/fused_cpu_step.h"
#include "models/train_step.h"
#include "models/vq_step.h"

namespace allometry::models {
namespace {

// In the order in which "auto" tries them.
constexpr TrainStepBackend kBackends[] = {
    {"fused_cpu", "by hand, fp32, one thread; CPU", &CreateFusedCpuStep},
    {"autograd", "LibTorch's autograd; CPU and CUDA, fp32, tf32 and bf16; the reference",
     &CreateAutogradStep},
    {"vq", "tokenizers of images, on LibTorch's autograd; CPU", &CreateVqStep, true},
};

}  // namespace

std::span<const TrainStepBackend> TrainStepBackends() { return kBackends; }

absl::StatusOr<std::unique_ptr<TrainStep>> CreateTrainStep(absl::string_view backend,
                                                           const Shape& shape,
                                                           const ParameterLayout& layout,
                                                           Device device, std::string* chosen,
                                                           run::Precision precision) {
  const bool any = backend == "auto";
  absl::Status refused = absl::OkStatus();
  for (const TrainStepBackend& row : kBackends) {
    if (!any && backend != row.name) continue;
    absl::StatusOr<std::unique_ptr<TrainStep>> step = row.create(shape, layout, device, precision);
    if (step.ok() || !absl::IsUnimplemented(step.status())) {
      *chosen = row.name;
      return step;
    }
    refused = step.status();
  }
  if (!refused.ok()) return refused;
  return absl::NotFoundError(absl::StrCat(
      "training step '", backend, "' is not known: allowed are auto, ",
      absl::StrJoin(kBackends, ", ",
                    [](std::string* out, const TrainStepBackend& row) { out->append(row.name); })));
}

}  // namespace allometry::models
