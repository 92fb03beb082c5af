#include "worker/trainer/batches.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "data/generated_windows.h"
#include "data/outcome.h"
#include "data/window_source.h"
#include "worker/trainer/dataset_checks.h"
#include "worker/trainer/image_batches.h"
#include "worker/trainer/tokenized_windows.h"

namespace allometry::trainer {
namespace {

// Of an evaluation group: enough for efficient matrix products, few enough for small memory. The
// grouping is part of the numerics: do not change.
constexpr int64_t kEvaluationGroupTokens = 8192;
constexpr int64_t kEvaluationGroupFrames = 256;

bool SeesImages(const run::Shape& shape) {
  const models::Family* family = models::FindFamily(shape.family);
  return family != nullptr && family->encoder_channels > 0;
}

// Side by side and in the order of a frame's action tokens.
absl::Status CheckActions(const data::Manifest& manifest) {
  const auto segments = data::ActionSegments(manifest);
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool in_order = segments[i].name == absl::StrCat("action:", i);
    if (in_order && (i == 0 || segments[i].begin == segments[i - 1].end)) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "dataset %s: segment %s begins at id %d: allowed are action:0, action:1, .. side by side",
        manifest.name, segments[i].name, segments[i].begin));
  }
  if (!segments.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("dataset %s has no actions to predict", manifest.name));
}

// `read` is the manifest of the tokens that are read.
absl::Status CheckFit(const run::Shape& shape, const data::Manifest& read) {
  int64_t vocabulary = read.vocabulary;
  if (SeesImages(shape)) {
    ALLO_RETURN_IF_ERROR(CheckImages(shape, read));
    ALLO_RETURN_IF_ERROR(CheckActions(read));
    vocabulary = data::ActionVocabulary(read);
  }
  if (vocabulary > shape.vocabulary) {
    return absl::FailedPreconditionError(absl::StrCat("dataset ", read.name, " has ", vocabulary,
                                                      " token ids; the model's vocabulary is ",
                                                      shape.vocabulary));
  }
  return absl::OkStatus();
}

class WindowBatches final : public Batches {
 public:
  WindowBatches(const run::Shape& shape, data::WindowSources sources, models::Objective objective);

  const models::Objective& objective() const override { return objective_; }
  int64_t heldout_windows() const override { return sources_.heldout_count; }
  const std::vector<std::string>& members() const override { return sources_.members; }
  int64_t MemberOf(int64_t window) const override {
    return window % static_cast<int64_t>(sources_.members.size());
  }
  int64_t evaluation_group() const override;
  absl::Status ReadTrain(int64_t first, int64_t count) override {
    return Read(*sources_.train, first, count);
  }
  absl::Status ReadHeldout(int64_t first, int64_t count) override {
    return Read(*sources_.heldout, first, count);
  }
  models::Batch Slice(int64_t begin, int64_t count) const override;
  std::span<const uint8_t> reward_classes() const override { return reward_classes_; }
  absl::StatusOr<double> HeldoutClassEntropy() override;

 private:
  absl::Status Read(const data::WindowSource& source, int64_t first, int64_t count);
  absl::Status ReadActions(int64_t count);

  const run::Shape shape_;
  const data::WindowSources sources_;
  const models::Objective objective_;
  const bool sees_images_;
  int64_t window_tokens_;  // of the dataset's windows
  std::vector<uint8_t> reward_classes_;
  int64_t first_action_ = 0;                  // id
  std::vector<int32_t> action_ends_;          // from first_action_; empty for families of tokens
  std::vector<int32_t> tokens_, successors_;  // windows as the source gives them
  std::vector<int32_t> inputs_, targets_;     // as the family takes them
  std::vector<uint8_t> images_;
};

WindowBatches::WindowBatches(const run::Shape& shape, data::WindowSources sources,
                             models::Objective objective)
    : shape_(shape),
      sources_(std::move(sources)),
      objective_(std::move(objective)),
      sees_images_(SeesImages(shape)),
      window_tokens_(shape.context),
      reward_classes_(RewardClasses(shape, sources_.manifest)) {
  if (!sees_images_) return;
  window_tokens_ *= sources_.manifest.frames->tokens_per_frame();
  const auto segments = data::ActionSegments(sources_.manifest);
  first_action_ = segments.front().begin;
  for (const data::VocabularySegment& segment : segments) {
    action_ends_.push_back(static_cast<int32_t>(segment.end - first_action_));
  }
}

int64_t WindowBatches::evaluation_group() const {
  const int64_t positions = sees_images_ ? kEvaluationGroupFrames : kEvaluationGroupTokens;
  return std::max<int64_t>(1, positions / shape_.context);
}

absl::Status WindowBatches::Read(const data::WindowSource& source, int64_t first, int64_t count) {
  const auto elements = static_cast<size_t>(count * window_tokens_);
  std::vector<int32_t>& inputs = sees_images_ ? tokens_ : inputs_;
  std::vector<int32_t>& targets = sees_images_ ? successors_ : targets_;
  inputs.resize(elements);
  targets.resize(elements);
  ALLO_RETURN_IF_ERROR(source.Fill(first, count, inputs, targets));
  if (!sees_images_) {
    objective_.Mask(targets);
    return absl::OkStatus();
  }
  images_.resize(static_cast<size_t>(count) * shape_.context * shape_.image_height *
                 shape_.image_width * shape_.image_channels);
  ALLO_RETURN_IF_ERROR(source.FillImages(first, count, images_));
  return ReadActions(count);
}

// From tokens_ to the columns of inputs_ and targets_.
absl::Status WindowBatches::ReadActions(int64_t count) {
  const auto dimensions = static_cast<int64_t>(action_ends_.size());
  const int64_t frame = sources_.manifest.frames->tokens_per_frame();
  inputs_.resize(static_cast<size_t>(count * shape_.context * dimensions));
  targets_.resize(inputs_.size());
  for (int64_t row = 0; row < count * shape_.context; ++row) {
    const bool is_first = row % shape_.context == 0;
    for (int64_t i = 0; i < dimensions; ++i) {
      const int64_t at = row * frame + sources_.manifest.frames->tokens_per_observation + i;
      targets_[row * dimensions + i] = static_cast<int32_t>(tokens_[at] - first_action_);
      inputs_[row * dimensions + i] =
          is_first ? -1 : static_cast<int32_t>(tokens_[at - frame] - first_action_);
    }
  }
  for (const int32_t id : targets_) {
    if (id < 0 || id >= action_ends_.back()) {
      return absl::DataLossError(
          absl::StrFormat("token id %d where an action is expected", id + first_action_));
    }
  }
  return absl::OkStatus();
}

models::Batch WindowBatches::Slice(int64_t begin, int64_t count) const {
  const int64_t columns = sees_images_ ? static_cast<int64_t>(action_ends_.size()) : 1;
  const auto part = [&](const auto& values, int64_t a_position) {
    const auto a_window = static_cast<size_t>(a_position * shape_.context);
    return std::span(values).subspan(begin * a_window, count * a_window);
  };
  models::Batch batch;
  batch.sequences = count;
  batch.context = shape_.context;
  batch.inputs = part(inputs_, columns);
  batch.targets = part(targets_, columns);
  batch.classes = objective_.classes();
  batch.weights = objective_.weights();
  if (sees_images_) {
    batch.images = part(images_, static_cast<int64_t>(shape_.image_height) * shape_.image_width *
                                     shape_.image_channels);
    batch.action_ends = action_ends_;
  }
  return batch;
}

absl::StatusOr<double> WindowBatches::HeldoutClassEntropy() {
  std::vector<int64_t> counts(shape_.vocabulary, 0);
  for (int64_t first = 0; first < heldout_windows(); first += evaluation_group()) {
    const int64_t count = std::min(evaluation_group(), heldout_windows() - first);
    ALLO_RETURN_IF_ERROR(ReadHeldout(first, count));
    for (const int32_t target : targets_) {
      if (target != models::kMasked) ++counts[target];
    }
  }
  return models::ClassEntropy(objective_.classes(), counts);
}

// The tokenizer among the inputs; nullptr where the run reads the dataset's own tokens.
absl::StatusOr<const run::RunInput*> TokenizerOf(const run::RunSpec& spec) {
  if (spec.identity.tokenizer_key.empty()) return nullptr;
  for (const run::RunInput& input : spec.inputs) {
    if (input.kind == run::InputKind::kTokenizer) return &input;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the run reads the tokens of tokenizer ", spec.identity.tokenizer_key,
                   ", and run.json has no input of kind tokenizer"));
}

absl::StatusOr<data::WindowSources> OpenSources(const std::string& run_dir,
                                                const std::string& data_dir,
                                                const run::RunSpec& spec,
                                                const data::Manifest& manifest) {
  const run::Identity& identity = spec.identity;
  const int64_t frame = SeesImages(identity.shape) ? manifest.frames->tokens_per_frame() : 1;
  const data::WindowOptions options = {.context = identity.shape.context * frame,
                                       .seed = identity.seed,
                                       .heldout_windows = spec.evaluation_windows};
  ALLO_ASSIGN_OR_RETURN(const run::RunInput* tokenizer, TokenizerOf(spec));
  if (tokenizer != nullptr) {
    return OpenTokenized(run_dir, data_dir, *tokenizer, manifest, options);
  }
  return data::OpenDataset(manifest.kind, data_dir, identity.dataset, options);
}

}  // namespace

std::vector<uint8_t> RewardClasses(const run::Shape& shape, const data::Manifest& manifest) {
  const auto segment = data::FindSegment(manifest, "outcome");
  if (!segment) return {};
  std::vector<uint8_t> classes(static_cast<size_t>(shape.vocabulary), 0);
  for (int outcome = 0; outcome < data::kOutcomes; ++outcome) {
    classes[segment->begin + outcome] = data::RewardOf(outcome) != 0;
  }
  return classes;
}

models::FrameTokens FrameTokensOf(const data::Manifest& manifest) {
  if (!manifest.frames.has_value()) return {};
  return {.observation = static_cast<int>(manifest.frames->tokens_per_observation),
          .action = static_cast<int>(manifest.frames->tokens_per_action),
          .outcome = static_cast<int>(manifest.frames->tokens_per_outcome)};
}

absl::StatusOr<data::WindowSources> OpenWindowsOf(const std::string& run_dir,
                                                  const std::string& data_dir,
                                                  const run::RunSpec& spec) {
  const run::Identity& identity = spec.identity;
  const std::string folder = absl::StrCat(data_dir, "/", identity.dataset);
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest,
                        data::FindManifest(data_dir, identity.dataset));
  absl::Status fits = CheckDatasetHash(identity, manifest);
  if (fits.ok() && SeesImages(identity.shape)) fits = CheckImages(identity.shape, manifest);
  if (!fits.ok()) return Annotate(fits, folder);
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources,
                        OpenSources(run_dir, data_dir, spec, manifest));
  fits = CheckFit(identity.shape, sources.manifest);
  if (!fits.ok()) return Annotate(fits, folder);
  return sources;
}

absl::StatusOr<std::unique_ptr<Batches>> Batches::Open(const std::string& run_dir,
                                                       const std::string& data_dir,
                                                       const run::RunSpec& spec) {
  if (spec.kind == run::RunKind::kTokenizer) return OpenImageBatches(data_dir, spec);
  const run::Identity& identity = spec.identity;
  const run::Shape& shape = identity.shape;
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources, OpenWindowsOf(run_dir, data_dir, spec));
  if (SeesImages(shape)) {
    return std::unique_ptr<Batches>(std::make_unique<WindowBatches>(
        shape, std::move(sources), models::Objective::OfFrames(shape.context)));
  }
  ALLO_ASSIGN_OR_RETURN(
      models::Objective objective,
      models::Objective::Create(identity.objective, identity.objective_seed, shape.vocabulary,
                                shape.context, FrameTokensOf(sources.manifest)));
  return std::unique_ptr<Batches>(
      std::make_unique<WindowBatches>(shape, std::move(sources), std::move(objective)));
}

}  // namespace allometry::trainer
