#include "worker/trainer/image_batches.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "data/generated_windows.h"
#include "worker/trainer/dataset_checks.h"

namespace allometry::trainer {
namespace {

// Part of the numerics: do not change.
constexpr int64_t kEvaluationGroupImages = 64;
constexpr int64_t kGeneratedFrames = 8;

class ImageBatches final : public Batches {
 public:
  ImageBatches(const run::Shape& shape, data::WindowSources sources, int64_t window_frames,
               int64_t heldout_images)
      : context_(shape.context),
        image_bytes_(int64_t{shape.image_height} * shape.image_width * shape.image_channels),
        window_frames_(window_frames),
        heldout_images_(heldout_images),
        sources_(std::move(sources)),
        objective_(models::Objective::OfImages(shape.context)) {}

  const models::Objective& objective() const override { return objective_; }
  int64_t heldout_windows() const override { return heldout_images_; }
  const std::vector<std::string>& members() const override { return sources_.members; }
  int64_t MemberOf(int64_t image) const override {
    return image / window_frames_ % static_cast<int64_t>(sources_.members.size());
  }
  int64_t evaluation_group() const override { return kEvaluationGroupImages; }

  absl::Status ReadTrain(int64_t first, int64_t count) override {
    return Read(*sources_.train, first, count);
  }
  absl::Status ReadHeldout(int64_t first, int64_t count) override {
    return Read(*sources_.heldout, first, count);
  }

  models::Batch Slice(int64_t begin, int64_t count) const override {
    models::Batch batch;
    batch.sequences = count;
    batch.context = context_;
    batch.images =
        std::span(images_).subspan(static_cast<size_t>((skipped_ + begin) * image_bytes_),
                                   static_cast<size_t>(count * image_bytes_));
    return batch;
  }

  std::span<const uint8_t> reward_classes() const override { return {}; }
  absl::StatusOr<double> HeldoutClassEntropy() override {
    return absl::InternalError("images have no classes");
  }

 private:
  // Image i is frame i mod F of window i / F.
  absl::Status Read(const data::WindowSource& source, int64_t first, int64_t count) {
    const int64_t window = first / window_frames_;
    const int64_t windows = (first + count - 1) / window_frames_ - window + 1;
    skipped_ = first % window_frames_;
    images_.resize(static_cast<size_t>(windows * window_frames_ * image_bytes_));
    return source.FillImages(window, windows, images_);
  }

  const int64_t context_, image_bytes_, window_frames_, heldout_images_;
  const data::WindowSources sources_;
  const models::Objective objective_;
  std::vector<uint8_t> images_;
  int64_t skipped_ = 0;  // images before the first that was asked for
};

// Whether images are made while they are read: then several of an episode are, because the first
// frames of an episode are the cheapest.
bool HasGenerated(const data::Manifest& manifest) {
  if (manifest.members.empty()) return !manifest.has_files();
  return std::any_of(
      manifest.members.begin(), manifest.members.end(),
      [](const data::UnionMember& member) { return data::IsGenerated(member.name); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Batches>> OpenImageBatches(const std::string& data_dir,
                                                          const run::RunSpec& spec) {
  const run::Identity& identity = spec.identity;
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest,
                        data::FindManifest(data_dir, identity.dataset));
  const std::string folder = absl::StrCat(data_dir, "/", identity.dataset);
  absl::Status fits = CheckDatasetHash(identity, manifest);
  if (fits.ok()) fits = CheckImages(identity.shape, manifest);
  if (!fits.ok()) return Annotate(fits, folder);
  const int64_t frames =
      HasGenerated(manifest) ? std::min(kGeneratedFrames, manifest.frames->frames_per_episode) : 1;
  const data::WindowOptions options = {
      .context = frames * manifest.frames->tokens_per_frame(),
      .seed = identity.seed,
      .heldout_windows = std::max<int64_t>((spec.evaluation_windows + frames - 1) / frames,
                                           static_cast<int64_t>(MembersRead(manifest).size()))};
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources,
                        data::OpenDataset(manifest.kind, data_dir, identity.dataset, options));
  const int64_t heldout = std::min(spec.evaluation_windows, sources.heldout_count * frames);
  return std::unique_ptr<Batches>(
      std::make_unique<ImageBatches>(identity.shape, std::move(sources), frames, heldout));
}

}  // namespace allometry::trainer
