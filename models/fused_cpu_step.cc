#include "models/fused_cpu_step.h"

#include <xmmintrin.h>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/fused_cpu/plan_storage.h"
#include "models/fused_cpu/step.h"

namespace allometry::models {
namespace {

fused_cpu::StepFunction StepForThisCpu() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("fma")) {
    return &fused_cpu::avx512::Step;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return &fused_cpu::avx2::Step;
  }
  return &fused_cpu::baseline::Step;
}

// Flushes denormals to zero while it lives: a memorised batch halves the speed otherwise.
class DenormalsAreZero {
 public:
  DenormalsAreZero() : saved_(_mm_getcsr()) {
    constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
    _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
  }
  ~DenormalsAreZero() { _mm_setcsr(saved_); }

 private:
  const unsigned saved_;
};

class FusedCpuStep final : public TrainStep {
 public:
  FusedCpuStep(std::unique_ptr<fused_cpu::PlanStorage> storage, int64_t parameters)
      : storage_(std::move(storage)), parameters_(parameters), step_(StepForThisCpu()) {}

  absl::Status LossAndGradient(std::span<const float> parameters, const Batch& batch, float weight,
                               std::span<float> gradient, double* loss) override {
    ALLO_CHECK(static_cast<int64_t>(gradient.size()) == parameters_);
    const double tokens = static_cast<double>(batch.sequences * batch.context);
    const float token_weight = static_cast<float>(weight / tokens);
    ALLO_ASSIGN_OR_RETURN(const double sum, Run(parameters, batch, token_weight, gradient.data()));
    *loss += weight * (sum / tokens);
    return absl::OkStatus();
  }

  absl::StatusOr<double> SumLoss(std::span<const float> parameters, const Batch& batch) override {
    return Run(parameters, batch, 0, nullptr);
  }

 private:
  absl::StatusOr<double> Run(std::span<const float> parameters, const Batch& batch, float weight,
                             float* gradient) {
    const fused_cpu::Plan& plan = storage_->plan();
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == parameters_);
    ALLO_CHECK(batch.context >= 1 && batch.context <= plan.context) << batch.context;
    const size_t tokens = batch.sequences * batch.context;
    ALLO_CHECK(batch.inputs.size() == tokens && batch.targets.size() == tokens);
    ALLO_RETURN_IF_ERROR(CheckTokens("input", batch.inputs, plan.vocabulary));
    ALLO_RETURN_IF_ERROR(CheckTokens("target", batch.targets, plan.vocabulary));
    const DenormalsAreZero denormals_are_zero;
    return step_(plan, {.parameters = parameters.data(),
                        .gradient = gradient,
                        .inputs = batch.inputs.data(),
                        .targets = batch.targets.data(),
                        .sequences = batch.sequences,
                        .context = batch.context,
                        .weight = weight});
  }

  static absl::Status CheckTokens(const char* what, std::span<const int32_t> ids,
                                  int64_t vocabulary) {
    for (const int32_t id : ids) {
      if (id < 0 || id >= vocabulary) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s token %d: allowed is 0..%d", what, id, vocabulary - 1));
      }
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<fused_cpu::PlanStorage> storage_;
  const int64_t parameters_;
  const fused_cpu::StepFunction step_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> CreateFusedCpuStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device) {
  if (device.cuda) return absl::UnimplementedError("fused_cpu runs on CPUs only");
  ALLO_ASSIGN_OR_RETURN(auto storage, fused_cpu::PlanStorage::Make(shape, layout));
  return std::make_unique<FusedCpuStep>(std::move(storage), layout.size);
}

}  // namespace allometry::models
