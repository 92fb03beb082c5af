#include "data/window_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "data/windows.h"

namespace allometry::data {
namespace {

absl::Status NoImages() {
  return absl::FailedPreconditionError("the dataset has no images: this family needs them");
}

// TrainWindows or HeldoutWindows, with the dataset whose maps they borrow.
template <class Windows>
class TextSource final : public WindowSource {
 public:
  TextSource(std::shared_ptr<const TokenDataset> dataset, Windows windows)
      : dataset_(std::move(dataset)), windows_(std::move(windows)) {}

  absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const override {
    return windows_.Fill(first, count, inputs, targets);
  }
  absl::Status FillImages(int64_t, int64_t, std::span<uint8_t>) const override {
    return NoImages();
  }

 private:
  const std::shared_ptr<const TokenDataset> dataset_;
  const Windows windows_;
};

// The windows of frames of one split, in the order of `order`.
class FrameSource final : public WindowSource {
 public:
  struct Order {
    bool permuted = false;  // by (seed, epoch); otherwise `count` evenly spaced ones
    int64_t seed = 0;
    int64_t count = 0;
  };
  FrameSource(std::shared_ptr<const TokenDataset> dataset, const TokenStream& tokens,
              const ImageStream& images, int64_t context, const Order& order, int64_t windows)
      : dataset_(std::move(dataset)),
        tokens_(tokens),
        images_(images),
        frames_(*dataset_->manifest().frames),
        context_(context),
        window_frames_(context / frames_.tokens_per_frame()),
        windows_(windows),
        order_(order) {}

  absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const override {
    const auto elements = static_cast<size_t>(count * context_);
    ALLO_CHECK(inputs.size() == elements && targets.size() == elements) << inputs.size();
    for (int64_t row = 0; row < count; ++row) {
      const std::span<int32_t> input = inputs.subspan(row * context_, context_);
      const std::span<int32_t> target = targets.subspan(row * context_, context_);
      ALLO_RETURN_IF_ERROR(
          tokens_.Read(FirstFrame(first + row) * frames_.tokens_per_frame(), input));
      std::copy(input.begin() + 1, input.end(), target.begin());
      target.back() = -1;
    }
    return absl::OkStatus();
  }

  absl::Status FillImages(int64_t first, int64_t count, std::span<uint8_t> images) const override {
    if (images_.frames() == 0) return NoImages();
    const auto window_bytes = static_cast<size_t>(window_frames_ * images_.bytes_per_frame());
    ALLO_CHECK(images.size() == static_cast<size_t>(count) * window_bytes) << images.size();
    for (int64_t row = 0; row < count; ++row) {
      images_.Read(FirstFrame(first + row), window_frames_,
                   images.subspan(static_cast<size_t>(row) * window_bytes, window_bytes));
    }
    return absl::OkStatus();
  }

 private:
  // Of window number `window`, within the split.
  int64_t FirstFrame(int64_t window) const {
    ALLO_CHECK(window >= 0) << window;
    const auto size = static_cast<uint64_t>(windows_);
    const auto g = static_cast<uint64_t>(window);
    uint64_t position = 0;
    if (order_.permuted) {
      position = KeyedPermutation(static_cast<uint64_t>(order_.seed), g / size, size, g % size);
    } else {
      ALLO_CHECK(window < order_.count) << window << " of " << order_.count;
      // 128 bits: the product of two counts.
      position = static_cast<uint64_t>(static_cast<unsigned __int128>(g) * size /
                                       static_cast<uint64_t>(order_.count));
    }
    const int64_t an_episode = frames_.frames_per_episode / window_frames_;
    const auto at = static_cast<int64_t>(position);
    return at / an_episode * frames_.frames_per_episode + at % an_episode * window_frames_;
  }

  const std::shared_ptr<const TokenDataset> dataset_;
  const TokenStream tokens_;
  const ImageStream images_;
  const Frames frames_;
  const int64_t context_;
  const int64_t window_frames_;
  const int64_t windows_;  // of the split
  const Order order_;
};

absl::Status CheckFrames(const Manifest& manifest, const WindowOptions& options) {
  const Frames& frames = *manifest.frames;
  const int64_t frame = frames.tokens_per_frame();
  if (options.context < 1 || options.context % frame != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset %s: context %d is not a number of whole frames of %d tokens",
                        manifest.name, options.context, frame));
  }
  if (options.context / frame > frames.frames_per_episode) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset %s: a window of %d frames is longer than an episode of %d",
                        manifest.name, options.context / frame, frames.frames_per_episode));
  }
  return absl::OkStatus();
}

absl::StatusOr<WindowSources> OpenFrames(std::shared_ptr<const TokenDataset> dataset,
                                         const WindowOptions& options) {
  const Manifest& manifest = dataset->manifest();
  ALLO_RETURN_IF_ERROR(CheckFrames(manifest, options));
  int64_t train_tokens = dataset->train().size();
  if (options.train_episodes > 0) {
    train_tokens =
        std::min(train_tokens, options.train_episodes * manifest.frames->tokens_per_episode());
  }
  const int64_t train = WindowsPerEpoch(manifest, train_tokens, options.context);
  const int64_t heldout = WindowsPerEpoch(manifest, dataset->heldout().size(), options.context);
  if (train < 1 || heldout < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset %s: the %s split has not one window of %d tokens", manifest.name,
                        train < 1 ? "train" : "heldout", options.context));
  }
  WindowSources sources;
  sources.manifest = manifest;
  sources.heldout_count = std::min(options.heldout_windows, heldout);
  sources.train = std::make_unique<FrameSource>(
      dataset, dataset->train(), dataset->train_images(), options.context,
      FrameSource::Order{.permuted = true, .seed = options.seed, .count = 0}, train);
  sources.heldout = std::make_unique<FrameSource>(
      dataset, dataset->heldout(), dataset->heldout_images(), options.context,
      FrameSource::Order{.permuted = false, .seed = 0, .count = sources.heldout_count}, heldout);
  return sources;
}

absl::StatusOr<WindowSources> OpenText(std::shared_ptr<const TokenDataset> dataset,
                                       const WindowOptions& options) {
  WindowSources sources;
  sources.manifest = dataset->manifest();
  ALLO_ASSIGN_OR_RETURN(TrainWindows train,
                        TrainWindows::Create(*dataset, options.context, options.seed));
  ALLO_ASSIGN_OR_RETURN(HeldoutWindows heldout,
                        HeldoutWindows::Create(*dataset, options.context, options.heldout_windows));
  sources.heldout_count = heldout.count();
  sources.train = std::make_unique<TextSource<TrainWindows>>(dataset, std::move(train));
  sources.heldout = std::make_unique<TextSource<HeldoutWindows>>(dataset, std::move(heldout));
  return sources;
}

}  // namespace

absl::StatusOr<WindowSources> OpenWindows(const std::string& dataset_dir,
                                          const WindowOptions& options) {
  ALLO_ASSIGN_OR_RETURN(TokenDataset opened, TokenDataset::Open(dataset_dir));
  auto dataset = std::make_shared<const TokenDataset>(std::move(opened));
  return dataset->manifest().frames.has_value() ? OpenFrames(std::move(dataset), options)
                                                : OpenText(std::move(dataset), options);
}

}  // namespace allometry::data
