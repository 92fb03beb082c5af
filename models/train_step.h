// A training step: batch in; loss and the flat gradient out. The backends are rows of a table.
//
// All parameters of a model live in one flat fp32 buffer, in the order of ParameterLayout; so do
// gradients and moments. LibTorch's autograd ("autograd") is the reference; every other backend
// must agree with it (models/registry.cc, tests/models/train_step_test.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/objective.h"
#include "models/shape.h"
#include "run/choices.h"

namespace allometry::models {

// Where a named tensor lies in the flat buffer. Names and shapes are nanoGPT's, with its
// nn.Linear convention: weight [out, in]. A tied head has no entry of its own.
struct ParameterView {
  std::string name;            // "transformer.h.0.attn.c_attn.weight"
  std::vector<int64_t> shape;  // row-major
  int64_t offset = 0;          // in elements
  int64_t size = 0;
  bool decays = false;  // weight decay: matrices yes; biases and layer norms no
};

struct ParameterLayout {
  std::vector<ParameterView> views;  // wte, positions', blocks in order, ln_f, the encoder's
  // Of the flat buffer, in elements. Those below `trained` are AdamW's. What follows is state that
  // the step itself keeps up to date (TrainStep::AfterUpdate); the transformers have none, and
  // their size is CountParams().total().
  int64_t size = 0;
  int64_t trained = 0;
};

absl::StatusOr<ParameterLayout> LayoutOf(const Shape& shape);

// N(0, 0.02), residual projections 0.02 / sqrt(2 L), biases 0, layer-norm gains 1. A function of
// (layout, seed) alone: counter-based, so every rank and every machine gets the same bits.
void Initialize(const Shape& shape, const ParameterLayout& layout, int64_t seed,
                std::span<float> parameters);

// Row-major [sequences, context] token ids and their targets (the next tokens). A target kMasked
// (objective.h) does not count.
struct Batch {
  int64_t sequences = 0;
  int64_t context = 0;
  std::span<const int32_t> inputs;
  std::span<const int32_t> targets;
  // 0 or 1 for each id: the loss is then that of the target's class, -log of the sum of its ids'
  // probabilities. Empty: of the target itself.
  std::span<const uint8_t> classes = {};
  // Of each position of a window its target's weight, [context]: the loss of the batch is then the
  // sum of weight * cross-entropy over the targets that count, divided by `sequences`. Empty: the
  // mean of those.
  std::span<const float> weights = {};

  // Families of images (shape.h), a position being a frame: the frames' images, u8 [sequences,
  // context, height, width, channels]; inputs and targets have a column for each action dimension,
  // [sequences, context, dimensions]: the actions before a frame (-1: none) and those to predict.
  // The loss of a position is the mean over dimensions of the cross-entropy among the dimension's
  // ids: those below action_ends[i] and not below action_ends[i - 1].
  std::span<const uint8_t> images = {};
  std::span<const int32_t> action_ends = {};

  // Where a step on a GPU finds the same inputs, targets and images in the GPU's memory; null: it
  // copies the host's there. Which targets count, it always asks the host's.
  const int32_t* device_inputs = nullptr;
  const int32_t* device_targets = nullptr;
  const uint8_t* device_images = nullptr;

  // Tokenizers of images have no ids: `images` is u8 [sequences, height, width, channels]. Where
  // the batch stands in its update: the update from 1, its first sequence among all of the
  // update's.
  int64_t update = 0;
  int64_t first_sequence = 0;
  int64_t update_sequences = 0;
};

// Sequences [begin, begin + count) of a batch.
Batch Slice(const Batch& batch, int64_t begin, int64_t count);

// Where the flat buffers lie. Token ids are always in host memory.
struct Device {
  bool cuda = false;
  int index = 0;
};

class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // With m the mean cross-entropy of the batch's targets that count (or their weighted sum, see
  // Batch::weights), at `parameters`, in nats:
  //   gradient += weight * dm/d(parameters),   *loss += weight * m.
  // InvalidArgument where none counts.
  // `parameters`, `gradient` and `loss` lie on the step's device, and are fp32 in every precision;
  // on CUDA the call only enqueues work. The caller zeroes gradient and loss and chooses the
  // weights, so micro-batches and ranks add up to the mean of the global batch. Deterministic on
  // CPUs: same inputs, same bits.
  virtual absl::Status LossAndGradient(std::span<const float> parameters, const Batch& batch,
                                       float weight, std::span<float> gradient, double* loss) = 0;

  // Is told that nothing of the call adds to elements [begin, end) of the gradient any more.
  using GradientDone = std::function<absl::Status(int64_t begin, int64_t end)>;
  // The same, but for the order in which what one parameter gets twice is added. `done` is called
  // on the calling thread for ranges that cover the gradient, each as soon as it is done with (on
  // CUDA: enqueued): first those of the last layers, in an order that depends on the shape alone.
  // An error of `done` ends the call.
  virtual absl::Status LossAndGradientInParts(std::span<const float> parameters, const Batch& batch,
                                              float weight, std::span<float> gradient, double* loss,
                                              const GradientDone& done) {
    ALLO_RETURN_IF_ERROR(LossAndGradient(parameters, batch, weight, gradient, loss));
    return done(0, gradient_size());
  }

  // Elements of the gradient; beyond the layout a step may gather what AfterUpdate reads. All of it
  // is zeroed and summed over micro-batches and ranks alike.
  virtual int64_t gradient_size() const = 0;
  // Once an update, after AdamW, with the summed gradient of its `sequences`.
  virtual void AfterUpdate(std::span<float> /*parameters*/, std::span<const float> /*gradient*/,
                           int64_t /*sequences*/) {}
  // Of tokenizers: the codes of the images of the last call, [sequences, context].
  virtual std::span<const int32_t> codes() const { return {}; }

  // The targets' cross-entropies, in nats, without a gradient, to host memory [sequences, context];
  // 0 where a target does not count.
  virtual absl::Status Losses(std::span<const float> parameters, const Batch& batch,
                              std::span<double> losses) = 0;

  // A step in bf16 computes from a copy of the parameters that is rounded to the nearest bf16,
  // ParameterLayout::size numbers on the step's device; the parameters themselves stay fp32. AdamW
  // writes the copy as it updates them (AdamWState::rounded); after any other change the caller
  // calls RoundParameters. Empty for other precisions.
  virtual std::span<uint16_t> rounded_parameters() { return {}; }
  virtual void RoundParameters(std::span<const float> /*parameters*/) {}

  // Their sum, in order.
  absl::StatusOr<double> SumLoss(std::span<const float> parameters, const Batch& batch) {
    std::vector<double> losses(static_cast<size_t>(batch.sequences * batch.context));
    ALLO_RETURN_IF_ERROR(Losses(parameters, batch, losses));
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }
};

struct TrainStepBackend {
  const char* name;  // "autograd", "fused_cpu"
  const char* description;
  // Unimplemented with the reason where this backend cannot take the shape or the precision.
  absl::StatusOr<std::unique_ptr<TrainStep>> (*create)(const Shape& shape,
                                                       const ParameterLayout& layout, Device device,
                                                       run::Precision precision);
  bool tokenizers = false;  // it trains those, and nothing else
};

std::span<const TrainStepBackend> TrainStepBackends();
// By name; "auto" takes the first row that accepts the shape and the precision. NotFound lists the
// names.
absl::StatusOr<std::unique_ptr<TrainStep>> CreateTrainStep(
    absl::string_view backend, const Shape& shape, const ParameterLayout& layout, Device device,
    std::string* chosen, run::Precision precision = run::Precision::kFp32);

}  // namespace allometry::models
