#include "worker/trainer/batches.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "data/generated_windows.h"

namespace allometry::trainer {
namespace {

// Of an evaluation group: enough for efficient matrix products, few enough for small memory. The
// grouping is part of the numerics: do not change.
constexpr int64_t kEvaluationGroupTokens = 8192;
constexpr int64_t kEvaluationGroupFrames = 256;

bool SeesImages(const rundir::Shape& shape) {
  const models::Family* family = models::FindFamily(shape.family);
  return family != nullptr && family->encoder_channels > 0;
}

models::FrameTokens FrameTokensOf(const data::Manifest& manifest) {
  if (!manifest.frames.has_value()) return {};
  return {.observation = static_cast<int>(manifest.frames->tokens_per_observation),
          .action = static_cast<int>(manifest.frames->tokens_per_action)};
}

absl::Status CheckImages(const rundir::Shape& shape, const data::Manifest& manifest) {
  const data::Frames& frames = *manifest.frames;
  if (frames.image_height == shape.image_height && frames.image_width == shape.image_width &&
      frames.image_channels == shape.image_channels) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("dataset %s has images of %d x %d x %d; the model's are %d x %d x %d",
                      manifest.name, frames.image_height, frames.image_width, frames.image_channels,
                      shape.image_height, shape.image_width, shape.image_channels));
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

absl::Status CheckFit(const rundir::Identity& identity, const data::Manifest& manifest) {
  if (!identity.dataset_hash.empty() && manifest.hash != identity.dataset_hash) {
    return absl::FailedPreconditionError(absl::StrCat(
        "its dataset.json has the hash ", manifest.hash, "; the run was submitted with ",
        identity.dataset_hash, ": it is another dataset"));
  }
  const rundir::Shape& shape = identity.shape;
  int64_t vocabulary = manifest.vocabulary;
  if (SeesImages(shape)) {
    if (!manifest.frames.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("family ", shape.family, " needs a dataset of frames"));
    }
    ALLO_RETURN_IF_ERROR(CheckImages(shape, manifest));
    ALLO_RETURN_IF_ERROR(CheckActions(manifest));
    vocabulary = data::ActionVocabulary(manifest);
  }
  if (vocabulary > shape.vocabulary) {
    return absl::FailedPreconditionError(
        absl::StrCat("dataset ", manifest.name, " has ", vocabulary,
                     " token ids; the model's vocabulary is ", shape.vocabulary));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Batches>> Batches::Open(const std::string& data_dir,
                                                       const rundir::RunSpec& spec) {
  const rundir::Identity& identity = spec.identity;
  const rundir::Shape& shape = identity.shape;
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest,
                        data::FindManifest(data_dir, identity.dataset));
  const std::string folder = absl::StrCat(data_dir, "/", identity.dataset);
  const absl::Status fits = CheckFit(identity, manifest);
  if (!fits.ok()) return Annotate(fits, folder);
  const int64_t frame = SeesImages(shape) ? manifest.frames->tokens_per_frame() : 1;
  const data::WindowOptions options = {.context = shape.context * frame,
                                       .seed = identity.seed,
                                       .heldout_windows = spec.evaluation_windows};
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources,
                        data::IsGenerated(identity.dataset)
                            ? data::OpenGenerated(identity.dataset, options)
                            : data::OpenWindows(folder, options));
  if (SeesImages(shape)) {
    return std::unique_ptr<Batches>(
        new Batches(shape, std::move(sources), models::Objective::OfFrames(shape.context)));
  }
  ALLO_ASSIGN_OR_RETURN(
      models::Objective objective,
      models::Objective::Create(identity.objective, identity.objective_seed, shape.vocabulary,
                                shape.context, FrameTokensOf(manifest)));
  return std::unique_ptr<Batches>(new Batches(shape, std::move(sources), std::move(objective)));
}

Batches::Batches(const rundir::Shape& shape, data::WindowSources sources,
                 models::Objective objective)
    : shape_(shape),
      sources_(std::move(sources)),
      objective_(std::move(objective)),
      sees_images_(SeesImages(shape)),
      window_tokens_(shape.context) {
  if (!sees_images_) return;
  window_tokens_ *= sources_.manifest.frames->tokens_per_frame();
  const auto segments = data::ActionSegments(sources_.manifest);
  first_action_ = segments.front().begin;
  for (const data::VocabularySegment& segment : segments) {
    action_ends_.push_back(static_cast<int32_t>(segment.end - first_action_));
  }
}

int64_t Batches::evaluation_group() const {
  const int64_t positions = sees_images_ ? kEvaluationGroupFrames : kEvaluationGroupTokens;
  return std::max<int64_t>(1, positions / shape_.context);
}

absl::Status Batches::Read(const data::WindowSource& source, int64_t first, int64_t count) {
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
absl::Status Batches::ReadActions(int64_t count) {
  const auto dimensions = static_cast<int64_t>(action_ends_.size());
  const int64_t frame = sources_.manifest.frames->tokens_per_frame();
  inputs_.resize(static_cast<size_t>(count * shape_.context * dimensions));
  targets_.resize(inputs_.size());
  for (int64_t row = 0; row < count * shape_.context; ++row) {
    const bool is_first = row % shape_.context == 0;
    for (int64_t i = 0; i < dimensions; ++i) {
      const int64_t at = (row + 1) * frame - dimensions + i;
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

models::Batch Batches::Slice(int64_t begin, int64_t count) const {
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
  if (sees_images_) {
    batch.images = part(images_, static_cast<int64_t>(shape_.image_height) * shape_.image_width *
                                     shape_.image_channels);
    batch.action_ends = action_ends_;
  }
  return batch;
}

absl::StatusOr<double> Batches::HeldoutClassEntropy() {
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

}  // namespace allometry::trainer
