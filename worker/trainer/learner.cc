#include "worker/trainer/learner.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <cstddef>
#include <utility>

#include "base/check.h"
#include "models/guarded_update.h"

namespace allometry::trainer {
namespace {

// An UpdateReport as doubles.
using models::UpdateReport;
constexpr int64_t kReportDoubles = sizeof(UpdateReport) / sizeof(double);
constexpr int64_t kLoss = offsetof(UpdateReport, loss) / sizeof(double);
constexpr int64_t kCommand = offsetof(UpdateReport, command) / sizeof(double);
constexpr int64_t kLossSum = offsetof(UpdateReport, loss_sum) / sizeof(double);
constexpr int64_t kLossCount = offsetof(UpdateReport, loss_count) / sizeof(double);
static_assert(kCommand == kLoss + 1);  // scalars() is both

at::TensorOptions OnDevice(at::ScalarType type, models::Device device) {
  at::TensorOptions options(type);
  if (device.cuda) {
    options = options.device(at::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device.index));
  }
  return options;
}

at::Tensor Zeros(int64_t size, at::ScalarType type, models::Device device) {
  return at::zeros({size}, OnDevice(type, device));
}

// In `memory`, where it is not empty.
at::Tensor ZerosIn(std::span<float> memory, int64_t size, models::Device device) {
  if (memory.empty()) return Zeros(size, at::kFloat, device);
  ALLO_CHECK(static_cast<int64_t>(memory.size()) >= size);
  const at::Tensor zeros = at::from_blob(memory.data(), {size}, OnDevice(at::kFloat, device));
  return zeros.zero_();
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

}  // namespace

models::AdamWOptions ToAdamWOptions(const run::Optimizer& optimizer) {
  return {.beta1 = optimizer.beta1,
          .beta2 = optimizer.beta2,
          .weight_decay = optimizer.weight_decay,
          .epsilon = optimizer.epsilon,
          .clip_norm = optimizer.clip_norm};
}

struct Learner::State {
  run::Identity identity;
  models::Device device;
  models::ParameterLayout layout;
  std::string step_backend;
  std::unique_ptr<models::TrainStep> train_step;
  std::unique_ptr<models::GuardedUpdate> update;
  // On the device: fp32 of layout.size; an UpdateReport.
  at::Tensor parameters, gradient, exp_avg, exp_avg_sq;
  at::Tensor report;

  models::UpdateReport* report_on_device() const {
    return reinterpret_cast<models::UpdateReport*>(report.mutable_data_ptr<double>());
  }
};

Learner::Learner(std::unique_ptr<State> state) : state_(std::move(state)) {}
Learner::~Learner() = default;

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(const run::Identity& identity,
                                                         const std::string& step_backend,
                                                         const ComputeDevice& device,
                                                         LearnerMemory memory) {
  const models::Shape shape = identity.shape;
  auto state = std::make_unique<State>();
  state->identity = identity;
  state->device = device.device;
  ALLO_ASSIGN_OR_RETURN(state->layout, models::LayoutOf(shape));
  ALLO_ASSIGN_OR_RETURN(state->train_step,
                        models::CreateTrainStep(step_backend, shape, state->layout, device.device,
                                                &state->step_backend, identity.precision));
  for (at::Tensor* buffer : {&state->exp_avg, &state->exp_avg_sq}) {
    *buffer = Zeros(state->layout.size, at::kFloat, device.device);
  }
  state->parameters = ZerosIn(memory.parameters, state->layout.size, device.device);
  state->gradient = ZerosIn(memory.gradient, state->train_step->gradient_size(), device.device);
  state->report = Zeros(kReportDoubles, at::kDouble, device.device);
  state->update = CreateUpdate(device, Trained(state->layout), ToAdamWOptions(identity.optimizer));

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

void Learner::BeginUpdate(const models::UpdateInputs* inputs) {
  state_->gradient.zero_();
  if (!state_->device.cuda) {
    state_->report_on_device()->loss = 0;
    state_->report_on_device()->command = inputs->command;
    return;
  }
  state_->report.narrow(0, kLoss, 1).zero_();
  const at::Tensor command =
      at::from_blob(const_cast<double*>(&inputs->command), {1}, state_->report.options());
  state_->report.narrow(0, kCommand, 1).copy_(command);
}

absl::Status Learner::AddGradient(const models::Batch& batch, float weight,
                                  const models::TrainStep::GradientDone& done) {
  const std::span<const float> parameters = ConstSpan(state_->parameters);
  double* const loss = &state_->report_on_device()->loss;
  if (!done) {
    return state_->train_step->LossAndGradient(parameters, batch, weight, gradient(), loss);
  }
  return state_->train_step->LossAndGradientInParts(parameters, batch, weight, gradient(), loss,
                                                    done);
}

std::span<const float> Learner::parameters() const { return ConstSpan(state_->parameters); }

std::span<float> Learner::gradient() { return Span(state_->gradient); }

std::span<double> Learner::scalars() { return {&state_->report_on_device()->loss, 2}; }

void Learner::FinishUpdate(const models::UpdateInputs* inputs, int64_t sequences) {
  const auto trained = [this](const at::Tensor& buffer) {
    return Span(buffer).first(static_cast<size_t>(state_->layout.trained));
  };
  models::UpdateReport* const report = state_->report_on_device();
  state_->update->Apply({.parameters = trained(state_->parameters),
                         .gradient = trained(state_->gradient),
                         .first_moment = trained(state_->exp_avg),
                         .second_moment = trained(state_->exp_avg_sq),
                         .rounded = state_->train_step->rounded_parameters()},
                        inputs, report);
  // Only steps on CPUs do something after it.
  if (state_->device.cuda || report->failed_step != 0) return;
  state_->train_step->AfterUpdate(Span(state_->parameters), ConstSpan(state_->gradient), sequences);
}

models::UpdateReport Learner::ReadReport() const {
  const at::Tensor host = state_->report.cpu();
  return *reinterpret_cast<const models::UpdateReport*>(host.const_data_ptr<double>());
}

void Learner::SetLossSum(double sum, double count) {
  state_->report.narrow(0, kLossSum, 1).fill_(sum);
  state_->report.narrow(0, kLossCount, 1).fill_(count);
}

absl::Status Learner::Losses(const models::Batch& batch, std::span<double> losses) const {
  return state_->train_step->Losses(ConstSpan(state_->parameters), batch, losses);
}

std::span<const int32_t> Learner::codes() const { return state_->train_step->codes(); }

}  // namespace allometry::trainer
