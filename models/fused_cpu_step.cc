#include "models/fused_cpu_step.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "models/fused_cpu/denormals.h"
#include "models/fused_cpu/plan_storage.h"
#include "models/instruction_set.h"

namespace allometry::models {
namespace {

class FusedCpuStep final : public TrainStep {
 public:
  FusedCpuStep(std::unique_ptr<fused_cpu::PlanStorage> storage, int64_t parameters,
               fused_cpu::StepFunction step)
      : storage_(std::move(storage)), parameters_(parameters), step_(step) {}

  int64_t gradient_size() const override { return parameters_; }

  absl::Status LossAndGradient(std::span<const float> parameters, const Batch& batch, float weight,
                               std::span<float> gradient, double* loss) override {
    ALLO_CHECK(static_cast<int64_t>(gradient.size()) == parameters_);
    ALLO_RETURN_IF_ERROR(Prepare(batch));
    if (targets_.empty()) return absl::InvalidArgumentError("no target of the batch counts");
    const double parts =
        static_cast<double>(batch.weights.empty() ? targets_.size() : batch.sequences);
    Run(parameters, batch, static_cast<float>(weight / parts), gradient.data());
    double sum = 0;
    for (size_t i = 0; i < losses_.size(); ++i) {
      sum += batch.weights.empty() ? losses_[i] : weights_[i] * losses_[i];
    }
    *loss += weight * (sum / parts);
    return absl::OkStatus();
  }

  absl::Status Losses(std::span<const float> parameters, const Batch& batch,
                      std::span<double> losses) override {
    ALLO_CHECK(losses.size() == batch.inputs.size());
    ALLO_RETURN_IF_ERROR(Prepare(batch));
    Run(parameters, batch, 0, nullptr);
    std::fill(losses.begin(), losses.end(), 0.0);
    for (size_t i = 0; i < places_.size(); ++i) losses[places_[i]] = losses_[i];
    return absl::OkStatus();
  }

 private:
  // Checks the batch and gathers the targets that count.
  absl::Status Prepare(const Batch& batch) {
    const fused_cpu::Plan& plan = storage_->plan();
    ALLO_CHECK(batch.context >= 1 && batch.context <= plan.context) << batch.context;
    const size_t tokens = batch.sequences * batch.context;
    ALLO_CHECK(batch.inputs.size() == tokens && batch.targets.size() == tokens);
    ALLO_CHECK(batch.weights.empty() ||
               static_cast<int64_t>(batch.weights.size()) == batch.context);
    targets_.clear();
    places_.clear();
    weights_.clear();
    for (size_t i = 0; i < tokens; ++i) {
      if (batch.targets[i] == kMasked) continue;
      targets_.push_back(batch.targets[i]);
      places_.push_back(static_cast<int32_t>(i));
      if (!batch.weights.empty()) weights_.push_back(batch.weights[i % batch.context]);
    }
    losses_.resize(targets_.size());
    ALLO_RETURN_IF_ERROR(CheckTokens("input", batch.inputs, plan.vocabulary));
    ALLO_RETURN_IF_ERROR(CheckTokens("target", targets_, plan.vocabulary));
    if (batch.classes.empty()) return absl::OkStatus();
    ALLO_CHECK(static_cast<long>(batch.classes.size()) == plan.vocabulary) << batch.classes.size();
    const long columns = plan.head.out.padded();
    for (long id = 0; id < plan.vocabulary; ++id) {
      class_masks_[id] = batch.classes[id] == 0 ? 1.0f : 0.0f;
      class_masks_[columns + id] = batch.classes[id] == 0 ? 0.0f : 1.0f;
    }
    return absl::OkStatus();
  }

  void Run(std::span<const float> parameters, const Batch& batch, float weight, float* gradient) {
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == parameters_);
    const fused_cpu::DenormalsAreZero denormals_are_zero;
    const bool by_class = !batch.classes.empty();
    step_(storage_->plan(),
          {.parameters = parameters.data(),
           .gradient = gradient,
           .inputs = batch.inputs.data(),
           .targets = targets_.data(),
           .places = places_.data(),
           .count = static_cast<long>(targets_.size()),
           .weights = weights_.empty() ? nullptr : weights_.data(),
           .classes = {.of = by_class ? batch.classes.data() : nullptr, .masks = class_masks_},
           .sequences = batch.sequences,
           .context = batch.context,
           .weight = weight,
           .losses = losses_.data()});
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
  float* const class_masks_ = storage_->plan().class_masks;
  // Of the batch at hand.
  std::vector<int32_t> targets_, places_;
  std::vector<float> weights_;  // of the targets; empty: 1
  std::vector<double> losses_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> CreateFusedCpuStep(const Shape& shape,
                                                              const ParameterLayout& layout,
                                                              Device device,
                                                              run::Precision precision) {
  if (device.cuda) return absl::UnimplementedError("fused_cpu runs on CPUs only");
  if (precision != run::Precision::kFp32) {
    return absl::UnimplementedError(
        absl::StrCat("fused_cpu computes in fp32 and not in ", run::NameOf(precision)));
  }
  ALLO_RETURN_IF_ERROR(Validate(shape));
  const Family& family = *FindFamily(shape.family);
  if (family.encoder_channels > 0 || family.tokenizer) {
    return absl::UnimplementedError(
        absl::StrCat("fused_cpu has no image encoder, as family ", shape.family, " needs"));
  }
  ALLO_ASSIGN_OR_RETURN(const InstructionSet set, ChooseInstructionSet());
  ALLO_ASSIGN_OR_RETURN(auto storage, fused_cpu::PlanStorage::Make(shape, layout));
  return std::make_unique<FusedCpuStep>(std::move(storage), layout.size, set.step);
}

}  // namespace allometry::models
