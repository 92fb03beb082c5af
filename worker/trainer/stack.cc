#include "worker/trainer/stack.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/stacked_step.h"
#include "worker/trainer/captured_work.h"
#include "worker/trainer/model_training.h"
#include "worker/trainer/outcome.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using Clock = std::chrono::steady_clock;

// A place of the stack. One without an open run is given a batch all the same.
struct Place {
  std::unique_ptr<ModelTraining> training;  // null: never taken. Kept to the end of the stack
  bool open = false;
  std::unique_ptr<BatchFeed> idle_feed;  // of one that was never taken
  FedUpdate fed;
};

std::span<float> Row(const at::Tensor& rows, int64_t row) {
  return {rows.mutable_data_ptr<float>() + row * rows.size(1), static_cast<size_t>(rows.size(1))};
}

bool SuperviseAlike(const models::Objective& a, const models::Objective& b) {
  return std::equal(a.supervised().begin(), a.supervised().end(), b.supervised().begin(),
                    b.supervised().end()) &&
         std::equal(a.weights().begin(), a.weights().end(), b.weights().begin(), b.weights().end());
}

class StackImpl final : public Stack {
 public:
  StackImpl(std::vector<TrainingParts> runs, int width, std::unique_ptr<models::StackedStep> step,
            OnEnd on_end)
      : device_(runs.front().device),
        spec_(runs.front().spec),
        sequences_(spec_.identity.batch_tokens / spec_.identity.shape.context),
        micro_batch_(spec_.micro_batch == 0 ? sequences_
                                            : std::min<int64_t>(spec_.micro_batch, sequences_)),
        step_(std::move(step)),
        on_end_(std::move(on_end)),
        places_(width),
        update_work_(Captures() ? CreateRecorder(device_) : nullptr,
                     [](const std::string& why) { std::cerr << why << std::endl; }) {
    at::TensorOptions options(at::kFloat);
    if (device_.device.cuda) {
      options =
          options.device(at::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device_.device.index));
    }
    parameters_ = at::zeros({width, step_->stride()}, options);
    gradients_ = at::zeros({width, step_->stride()}, options);
    idle_losses_ = at::zeros({width}, options.dtype(at::kDouble));
  }

  void Open(std::vector<TrainingParts> runs) {
    for (size_t k = 0; k < runs.size(); ++k) {
      runs[k].stack_width = static_cast<int>(places_.size());
      const LearnerMemory memory = {Row(parameters_, static_cast<int64_t>(k)),
                                    Row(gradients_, static_cast<int64_t>(k))};
      auto training = ModelTraining::Open(std::move(runs[k]), memory);
      if (!training.ok()) {
        on_end_(k, training.status());
        continue;
      }
      // Which positions count follows from the objective and the dataset's frames.
      const ModelTraining* const first =
          open().empty() ? nullptr : places_[open().front()].training.get();
      if (first != nullptr && !SuperviseAlike(first->objective(), (*training)->objective())) {
        on_end_(k,
                WithReason(ExitReason::kBug,
                           absl::InvalidArgumentError(
                               "run.json: its dataset's frames are other ones than those of the "
                               "stack's first run: allowed is a stack of runs on frames alike")));
        continue;
      }
      places_[k].training = *std::move(training);
      places_[k].open = true;
    }
  }

  bool IsOpen(size_t run) const override { return places_[run].open; }
  int64_t StepOf(size_t run) const override {
    return places_[run].training == nullptr ? 0 : places_[run].training->step();
  }

  absl::Status Run() override {
    for (const size_t k : open()) {
      ModelTraining& training = *places_[k].training;
      const absl::Status begun = training.Begin();
      if (!begun.ok()) {
        End(k, begun);
      } else if (training.done()) {
        End(k, TrainingEnd{ExitReason::kSucceeded, "", training.step()});
      }
    }
    while (!open().empty()) {
      const Clock::time_point start = Clock::now();
      for (const size_t k : open()) {
        const absl::StatusOr<FedUpdate> fed = places_[k].training->NextBatch();
        if (!fed.ok()) {
          End(k, fed.status());
        } else {
          places_[k].fed = *fed;
        }
      }
      if (open().empty()) break;
      ALLO_RETURN_IF_ERROR(FillIdlePlaces());
      ALLO_RETURN_IF_ERROR(update_work_.Run([this] { return EnqueueUpdate(); }));
      for (const size_t k : open()) {
        const absl::StatusOr<std::optional<TrainingEnd>> end =
            places_[k].training->FinishUpdate(start);
        if (!end.ok()) {
          End(k, end.status());
        } else if (end->has_value()) {
          End(k, **end);
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  std::vector<size_t> open() const {
    std::vector<size_t> open;
    for (size_t k = 0; k < places_.size(); ++k) {
      if (places_[k].open) open.push_back(k);
    }
    return open;
  }
  bool Captures() const {
    return (sequences_ + micro_batch_ - 1) / micro_batch_ <= CapturedWork::kMostMicroBatches &&
           !EagerIsAsked();
  }

  void End(size_t k, const absl::StatusOr<TrainingEnd>& end) {
    places_[k].open = false;
    on_end_(k, end);
  }

  // With the first batch that there is: of which run its tokens are does not matter.
  absl::Status FillIdlePlaces() {
    if (idle_inputs_.empty()) {
      const models::Batch& batch = places_[open().front()].fed.batch;
      idle_ = batch;
      idle_inputs_.assign(batch.inputs.begin(), batch.inputs.end());
      idle_targets_.assign(batch.targets.begin(), batch.targets.end());
      idle_.inputs = idle_inputs_;
      idle_.targets = idle_targets_;
    }
    for (Place& place : places_) {
      if (place.open) continue;
      if (place.training != nullptr) {
        // Its own buffers may have changed since; what lies on a GPU has not.
        place.fed.batch.inputs = idle_inputs_;
        place.fed.batch.targets = idle_targets_;
        if (place.fed.inputs != nullptr) continue;  // it had a batch
      } else if (place.idle_feed != nullptr) {
        continue;
      }
      place.idle_feed = CreateFeed(device_, [](const auto& done) -> absl::Status {
        for (;;) {
          ALLO_ASSIGN_OR_RETURN(const bool is_done, done());
          if (is_done) return absl::OkStatus();
        }
      });
      ALLO_ASSIGN_OR_RETURN(place.fed, place.idle_feed->Push(idle_, {.step = 1}));
    }
    return absl::OkStatus();
  }

  // The same calls every time: also for runs that have ended, whose numbers nobody reads any more.
  absl::Status EnqueueUpdate() {
    gradients_.zero_();
    std::vector<double*> losses;
    double* idle_loss = idle_losses_.mutable_data_ptr<double>();
    for (Place& place : places_) {
      if (place.training != nullptr && place.fed.inputs != nullptr) {
        place.training->learner().BeginUpdate(place.fed.inputs);
        losses.push_back(place.training->learner().scalars().data());
      } else {
        losses.push_back(idle_loss);
      }
      ++idle_loss;
    }
    const std::span<const float> parameters(parameters_.const_data_ptr<float>(),
                                            static_cast<size_t>(parameters_.numel()));
    const std::span<float> gradients(gradients_.mutable_data_ptr<float>(),
                                     static_cast<size_t>(gradients_.numel()));
    std::vector<models::Batch> batches(places_.size());
    for (int64_t begin = 0; begin < sequences_; begin += micro_batch_) {
      const int64_t count = std::min(micro_batch_, sequences_ - begin);
      for (size_t k = 0; k < places_.size(); ++k) {
        batches[k] = models::Slice(places_[k].fed.batch, begin, count);
      }
      const auto weight = static_cast<float>(static_cast<double>(count) / sequences_);
      ALLO_RETURN_IF_ERROR(
          step_->LossesAndGradients(parameters, batches, weight, gradients, losses));
    }
    for (Place& place : places_) {
      if (place.training != nullptr && place.fed.inputs != nullptr) {
        place.training->learner().FinishUpdate(place.fed.inputs, sequences_);
      }
    }
    return absl::OkStatus();
  }

  const ComputeDevice device_;
  const run::RunSpec spec_;  // what all have in common
  const int64_t sequences_;
  const int64_t micro_batch_;
  const std::unique_ptr<models::StackedStep> step_;
  const OnEnd on_end_;
  // [width, stride] on the device; a row a place.
  at::Tensor parameters_, gradients_, idle_losses_;
  std::vector<Place> places_;
  models::Batch idle_;
  std::vector<int32_t> idle_inputs_, idle_targets_;
  CapturedWork update_work_;
};

}  // namespace

absl::Status CheckStack(const std::vector<run::RunSpec>& specs, int width) {
  if (width < 1 || width > models::kMostStacked || static_cast<int>(specs.size()) > width) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d runs in a stack of %d: allowed is 1..%d, and no more runs than that",
                        specs.size(), width, models::kMostStacked));
  }
  const auto refuse = [](size_t run, absl::string_view field, const auto& value,
                         absl::string_view allowed) {
    return absl::InvalidArgumentError(absl::StrCat("run ", run + 1, " of the stack: ", field, " ",
                                                   value, ": allowed is ", allowed));
  };
  const run::RunSpec& first = specs.front();
  for (size_t i = 0; i < specs.size(); ++i) {
    const run::RunSpec& spec = specs[i];
    const run::Identity& own = spec.identity;
    if (spec.kind != run::RunKind::kTrain) {
      return refuse(i, "kind", run::NameOf(spec.kind), "train");
    }
    if (!own.trainer.command.empty()) return refuse(i, "trainer", "a command", "allo-trainer");
    if (spec.ranks != 1) return refuse(i, "ranks", spec.ranks, "1");
    if (spec.step_backend != "auto" && spec.step_backend != "autograd") {
      return refuse(i, "step_backend", spec.step_backend, "auto or autograd");
    }
    if (own.objective == "super") {
      return refuse(i, "objective", own.objective, "one whose loss is that of tokens");
    }
    const std::string as_first = absl::StrCat("that of run 1: ");
    if (own.shape != first.identity.shape) {
      return refuse(i, "shape", "is another", "that of run 1");
    }
    if (own.batch_tokens != first.identity.batch_tokens) {
      return refuse(i, "batch_tokens", own.batch_tokens,
                    absl::StrCat(as_first, first.identity.batch_tokens));
    }
    if (spec.micro_batch != first.micro_batch) {
      return refuse(i, "micro_batch", spec.micro_batch, absl::StrCat(as_first, first.micro_batch));
    }
    if (own.objective != first.identity.objective) {
      return refuse(i, "objective", own.objective,
                    absl::StrCat(as_first, first.identity.objective));
    }
    if (own.precision != first.identity.precision) {
      return refuse(i, "precision", run::NameOf(own.precision),
                    absl::StrCat(as_first, run::NameOf(first.identity.precision)));
    }
    if (spec.device != first.device || spec.deterministic != first.deterministic) {
      return refuse(i, "device", run::NameOf(spec.device),
                    absl::StrCat(as_first, run::NameOf(first.device),
                                 first.deterministic ? ", deterministic" : ""));
    }
  }
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout,
                        models::LayoutOf(first.identity.shape));
  // Says what is not stacked.
  return models::CreateStackedStep(first.identity.shape, layout, width, models::Device(),
                                   first.identity.precision)
      .status();
}

absl::StatusOr<std::unique_ptr<Stack>> Stack::Create(std::vector<TrainingParts> runs, int width,
                                                     OnEnd on_end) {
  const run::Identity& identity = runs.front().spec.identity;
  ALLO_ASSIGN_OR_RETURN(const models::ParameterLayout layout, models::LayoutOf(identity.shape));
  ALLO_ASSIGN_OR_RETURN(std::unique_ptr<models::StackedStep> step,
                        models::CreateStackedStep(identity.shape, layout, width,
                                                  runs.front().device.device, identity.precision));
  auto stack = std::make_unique<StackImpl>(runs, width, std::move(step), std::move(on_end));
  stack->Open(std::move(runs));
  return stack;
}

}  // namespace allometry::trainer
