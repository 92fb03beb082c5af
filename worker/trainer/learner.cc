#include "worker/trainer/learner.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "models/adamw.h"
#include "worker/trainer/learning_rate.h"

namespace allometry::trainer {
namespace {

at::Tensor Zeros(int64_t size, at::ScalarType type, models::Device device) {
  at::TensorOptions options(type);
  if (device.cuda) {
    options = options.device(at::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device.index));
  }
  return at::zeros({size}, options);
}

std::span<float> Span(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

std::span<const float> ConstSpan(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// What AdamW trains of it.
models::ParameterLayout Trained(models::ParameterLayout layout) {
  std::erase_if(layout.views,
                [&](const models::ParameterView& view) { return view.offset >= layout.trained; });
  layout.size = layout.trained;
  return layout;
}

models::AdamWOptions ToAdamWOptions(const run::Optimizer& optimizer) {
  return {.beta1 = optimizer.beta1,
          .beta2 = optimizer.beta2,
          .weight_decay = optimizer.weight_decay,
          .epsilon = optimizer.epsilon,
          .clip_norm = optimizer.clip_norm};
}

}  // namespace

struct Learner::State {
  run::Identity identity;
  models::Device device;
  models::ParameterLayout layout;
  std::string step_backend;
  std::unique_ptr<models::TrainStep> train_step;
  std::unique_ptr<models::AdamW> adamw;
  // On the device: fp32 of layout.size; the loss and what else is added up; one double.
  at::Tensor parameters, gradient, exp_avg, exp_avg_sq;
  at::Tensor scalars, gradient_norm;
};

Learner::Learner(std::unique_ptr<State> state) : state_(std::move(state)) {}
Learner::~Learner() = default;

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(const run::Identity& identity,
                                                         const std::string& step_backend,
                                                         const ComputeDevice& device) {
  const models::Shape shape = identity.shape;
  auto state = std::make_unique<State>();
  state->identity = identity;
  state->device = device.device;
  ALLO_ASSIGN_OR_RETURN(state->layout, models::LayoutOf(shape));
  ALLO_ASSIGN_OR_RETURN(state->train_step,
                        models::CreateTrainStep(step_backend, shape, state->layout, device.device,
                                                &state->step_backend, identity.precision));
  for (at::Tensor* buffer : {&state->parameters, &state->exp_avg, &state->exp_avg_sq}) {
    *buffer = Zeros(state->layout.size, at::kFloat, device.device);
  }
  state->gradient = Zeros(state->train_step->gradient_size(), at::kFloat, device.device);
  state->scalars = Zeros(2, at::kDouble, device.device);
  state->gradient_norm = Zeros(1, at::kDouble, device.device);
  state->adamw = models::CreateAdamW(Trained(state->layout), ToAdamWOptions(identity.optimizer),
                                     device.device);

  const at::Tensor initial = Zeros(state->layout.size, at::kFloat, {});
  models::Initialize(shape, state->layout, identity.seed, Span(initial));
  state->parameters.copy_(initial);
  state->train_step->RoundParameters(ConstSpan(state->parameters));
  return std::unique_ptr<Learner>(new Learner(std::move(state)));
}

const std::string& Learner::step_backend() const { return state_->step_backend; }

absl::StatusOr<Progress> Learner::Restore(const std::string& run_dir,
                                          const run::StartCheckpoint& start) {
  const at::Tensor parameters = state_->parameters.cpu(), exp_avg = state_->exp_avg.cpu(),
                   exp_avg_sq = state_->exp_avg_sq.cpu();
  ALLO_ASSIGN_OR_RETURN(const Progress progress,
                        ReadCheckpoint(run_dir, start, state_->identity, state_->layout,
                                       {Span(parameters), Span(exp_avg), Span(exp_avg_sq)}));
  state_->parameters.copy_(parameters);
  state_->exp_avg.copy_(exp_avg);
  state_->exp_avg_sq.copy_(exp_avg_sq);
  state_->train_step->RoundParameters(ConstSpan(state_->parameters));
  return progress;
}

absl::StatusOr<run::CheckpointRecord> Learner::Save(const std::string& run_dir, int attempt,
                                                    const Progress& progress) const {
  // On a CPU these are the buffers themselves.
  const at::Tensor parameters = state_->parameters.cpu(), exp_avg = state_->exp_avg.cpu(),
                   exp_avg_sq = state_->exp_avg_sq.cpu();
  return WriteCheckpoint(run_dir, attempt, progress, state_->identity, state_->layout,
                         {ConstSpan(parameters), ConstSpan(exp_avg), ConstSpan(exp_avg_sq)});
}

void Learner::BeginGradient() {
  state_->gradient.zero_();
  state_->scalars.zero_();
}

absl::Status Learner::AddGradient(const models::Batch& batch, float weight) {
  return state_->train_step->LossAndGradient(ConstSpan(state_->parameters), batch, weight,
                                             Span(state_->gradient),
                                             state_->scalars.mutable_data_ptr<double>());
}

std::span<const float> Learner::parameters() const { return ConstSpan(state_->parameters); }

std::span<float> Learner::gradient() { return Span(state_->gradient); }

std::span<double> Learner::scalars() { return {state_->scalars.mutable_data_ptr<double>(), 2}; }

void Learner::SetSecondScalar(double value) { state_->scalars.narrow(0, 1, 1).fill_(value); }

std::array<double, 2> Learner::ReadScalars() const {
  const at::Tensor host = state_->scalars.cpu();
  const double* values = host.const_data_ptr<double>();
  return {values[0], values[1]};
}

void Learner::Update(int64_t step, int64_t sequences) {
  const auto trained = [this](const at::Tensor& buffer) {
    return Span(buffer).first(static_cast<size_t>(state_->layout.trained));
  };
  state_->adamw->Step({.parameters = trained(state_->parameters),
                       .gradient = trained(state_->gradient),
                       .first_moment = trained(state_->exp_avg),
                       .second_moment = trained(state_->exp_avg_sq),
                       .rounded = state_->train_step->rounded_parameters()},
                      step, LearningRateAt(state_->identity, step),
                      state_->gradient_norm.mutable_data_ptr<double>());
  state_->train_step->AfterUpdate(Span(state_->parameters), ConstSpan(state_->gradient), sequences);
}

double Learner::GradientNorm() const { return state_->gradient_norm.item<double>(); }

absl::Status Learner::Losses(const models::Batch& batch, std::span<double> losses) const {
  return state_->train_step->Losses(ConstSpan(state_->parameters), batch, losses);
}

std::span<const int32_t> Learner::codes() const { return state_->train_step->codes(); }

}  // namespace allometry::trainer
