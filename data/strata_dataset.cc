#include "data/strata_dataset.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/generated.h"
#include "data/outcome.h"
#include "data/staged_folder.h"
#include "data/strata/entropy.h"
#include "data/strata/episode.h"
#include "data/strata/likelihood.h"
#include "data/strata/render.h"
#include "data/strata/returns.h"
#include "data/strata/tokens.h"
#include "data/trajectories.h"

namespace allometry::data {
namespace {

// Raised when the same options would give other files. Stored in every manifest.
constexpr int kStrataFormat = 1;
constexpr int64_t kHeldoutEvery = 20;
constexpr int64_t kReturnEpisodes = 200;

std::string Generator(const StrataOptions& options) {
  std::string generator = absl::StrFormat("allo data strata --spec %s --steps %d",
                                          strata::SpecText(options.spec), options.steps);
  if (options.entropy_frames > 0) {
    absl::StrAppendFormat(&generator, " --entropy %d", options.entropy_frames);
  }
  absl::StrAppend(&generator, " (strata format ", kStrataFormat, ")");
  return generator;
}

absl::Status CheckOptions(const StrataOptions& options) {
  ALLO_RETURN_IF_ERROR(CheckDatasetName(options.name));
  const int64_t least = kHeldoutEvery * options.spec.universes * options.spec.frames;
  if (options.steps < least) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d steps: allowed with %d frames an episode is %d or more, so that one of %d is held out "
        "in each universe",
        options.steps, options.spec.frames, least, kHeldoutEvery));
  }
  if (options.entropy_frames == 0) return absl::OkStatus();
  return CheckEntropy(options.spec, options.entropy_frames);
}

// Plays episodes and hands them to the writers.
class Recorder {
 public:
  Recorder(const strata::Spec& spec, const Frames& frames, DatasetWriter& writer,
           TrajectoryWriter* trajectories)
      : worlds_(strata::WorldsOf(spec)),
        frames_(frames),
        tokenizer_(*strata::Tokenizer::Create(spec.view, spec.zo)),
        writer_(writer),
        trajectories_(trajectories) {
    if (spec.pixels == 0) return;
    for (const strata::World& world : worlds_) {
      renderers_.emplace_back(world, static_cast<int>(spec.pixels));
    }
  }

  absl::Status Record(int64_t number) {
    const auto universes = static_cast<int64_t>(worlds_.size());
    const bool heldout = number / universes % kHeldoutEvery == kHeldoutEvery - 1;
    const char* split = heldout ? "heldout" : "train";
    const auto universe = static_cast<size_t>(number % universes);
    renderer_ = renderers_.empty() ? nullptr : &renderers_[universe];
    tokens_.clear();
    images_.clear();
    trajectory_ = Trajectory();
    strata::Episode episode(worlds_[universe], static_cast<uint64_t>(number));
    for (int64_t t = 0; t < frames_.frames_per_episode; ++t) {
      const int action = episode.Demonstrate();
      AddFrame(episode, action);
      AddStep(episode, action);
    }
    ALLO_RETURN_IF_ERROR(writer_.Append(split, tokens_));
    if (renderer_ != nullptr) {
      ALLO_RETURN_IF_ERROR(writer_.AppendImages(split, images_, frames_));
    }
    return trajectories_ != nullptr ? Finish(episode) : absl::OkStatus();
  }

 private:
  void AddFrame(const strata::Episode& episode, int action) {
    std::vector<int32_t> ids(static_cast<size_t>(tokenizer_.tokens()));
    tokenizer_.Encode(episode.view(), ids);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    tokens_.push_back(static_cast<uint32_t>(tokenizer_.vocabulary() + action));
    AddView(episode);
  }

  void AddView(const strata::Episode& episode) {
    if (renderer_ != nullptr) {
      images_.resize(images_.size() + static_cast<size_t>(renderer_->bytes()));
      renderer_->Draw(episode.view(),
                      std::span(images_).last(static_cast<size_t>(renderer_->bytes())));
    }
    if (trajectories_ == nullptr) return;
    trajectory_.observations.insert(trajectory_.observations.end(), episode.view().begin(),
                                    episode.view().end());
  }

  void AddStep(strata::Episode& episode, int action) {
    const double reward = episode.Step(action);
    if (frames_.tokens_per_outcome > 0) {
      tokens_.push_back(static_cast<uint32_t>(tokenizer_.vocabulary() + strata::kActions +
                                              OutcomeOf(reward, false)));
    }
    trajectory_.actions.push_back(action);
    trajectory_.rewards.push_back(static_cast<float>(reward));
    trajectory_.terminations.push_back(0);
    trajectory_.truncations.push_back(episode.frame() == frames_.frames_per_episode ? 1 : 0);
  }

  absl::Status Finish(const strata::Episode& episode) {
    AddView(episode);
    const int64_t side = worlds_.front().view_side();
    trajectory_.observation_shape = {side, side};
    if (renderer_ != nullptr) {
      trajectory_.image_shape = {frames_.image_height, frames_.image_width, frames_.image_channels};
      trajectory_.images = std::move(images_);
    }
    return trajectories_->Append(trajectory_);
  }

  const std::vector<strata::World> worlds_;
  const Frames frames_;
  const strata::Tokenizer tokenizer_;
  DatasetWriter& writer_;
  TrajectoryWriter* const trajectories_;
  std::vector<strata::Renderer> renderers_;     // by universe; none without images
  const strata::Renderer* renderer_ = nullptr;  // of the episode
  std::vector<uint32_t> tokens_;
  std::vector<uint8_t> images_;
  Trajectory trajectory_;
};

absl::Status WriteEpisodes(const StrataOptions& options, Manifest& to, DatasetWriter& writer) {
  std::unique_ptr<TrajectoryWriter> trajectories;
  if (options.hdf5) {
    ALLO_ASSIGN_OR_RETURN(trajectories, TrajectoryWriter::Create(writer.Path(kTrajectoriesFile)));
  }
  Recorder recorder(options.spec, *to.frames, writer, trajectories.get());
  to.documents = (options.steps + options.spec.frames - 1) / options.spec.frames;
  for (int64_t i = 0; i < to.documents; ++i) ALLO_RETURN_IF_ERROR(recorder.Record(i));
  return trajectories != nullptr ? trajectories->Finish() : absl::OkStatus();
}

}  // namespace

absl::Status CheckEntropy(const strata::Spec& spec, int64_t frames) {
  if (spec.universes != 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("universes=%d: the exact entropy is known of one", spec.universes));
  }
  if (!strata::Tokenizer::Create(spec.view, spec.zo)->lossless()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "zo=%d of view=%d is hashed: the exact entropy is known for zo=%d and %d (and for zo=16 of "
        "view=8)",
        spec.zo, spec.view, spec.view * spec.view, spec.view * spec.view / 4));
  }
  const int64_t most = std::min<int64_t>(spec.frames, strata::WindowLikelihood::kMostFrames);
  if (frames >= 1 && frames <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("entropy of windows of %d frames: allowed are 1 to %d", frames, most));
}

absl::StatusOr<MadeDataset> MakeStrataDataset(const StrataOptions& options,
                                              const std::string& data_dir) {
  ALLO_RETURN_IF_ERROR(CheckOptions(options));
  MadeDataset made;
  Manifest& manifest = made.manifest;
  manifest = StrataManifest(options.spec);
  manifest.kind = DatasetKind::kTrajectories;
  manifest.name = options.name;
  manifest.generator = Generator(options);

  const std::string folder = absl::StrCat(data_dir, "/", options.name);
  ALLO_ASSIGN_OR_RETURN(const FolderLock lock, LockToMake(folder, {}, options.replace, made));
  if (made.existed) return made;
  const strata::MeanReturns returns = strata::ReturnsOf(options.spec, kReturnEpisodes);
  manifest.returns = {.expert = returns.expert, .random = returns.random};
  if (options.entropy_frames > 0) {
    strata::EntropyOptions entropy;
    entropy.frames = static_cast<int>(options.entropy_frames);
    entropy.progress = options.entropy_progress;
    const auto estimate = strata::EstimateEntropy(strata::World(options.spec), entropy);
    manifest.entropies = {{.frames = options.entropy_frames,
                           .nats_per_token = estimate.nats_per_token,
                           .standard_error = estimate.standard_error}};
  }
  DatasetWriter writer(folder, NarrowestType(manifest.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  ALLO_RETURN_IF_ERROR(WriteEpisodes(options, manifest, writer));
  ALLO_ASSIGN_OR_RETURN(manifest, writer.Finish(std::move(manifest)));
  made.from = absl::StrFormat("%s of %d frames", Counted(manifest.documents, "episode"),
                              manifest.frames->frames_per_episode);
  return made;
}

}  // namespace allometry::data
