#include "data/generated_windows.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "data/generated.h"
#include "data/outcome.h"
#include "data/strata/episode.h"
#include "data/strata/render.h"
#include "data/strata/tokens.h"
#include "data/windows.h"

namespace allometry::data {
namespace {

// The first frames of episodes, through the eyes of a spec.
class StrataSource final : public WindowSource {
 public:
  struct Order {
    bool heldout = false;
    int64_t seed = 0;
  };

  StrataSource(std::shared_ptr<const std::vector<strata::World>> worlds, const Manifest& manifest,
               int64_t context, const Order& order)
      : worlds_(std::move(worlds)),
        tokenizer_(
            *strata::Tokenizer::Create(worlds_->front().spec().view, worlds_->front().spec().zo)),
        frames_(*manifest.frames),
        context_(context),
        window_frames_(context / frames_.tokens_per_frame()),
        order_(order) {}

  absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const override {
    const auto elements = static_cast<size_t>(count * context_);
    ALLO_CHECK(inputs.size() == elements && targets.size() == elements) << inputs.size();
    const auto length = static_cast<size_t>(context_);
    for (int64_t row = 0; row < count; ++row) {
      const size_t at = static_cast<size_t>(row) * length;
      FillWindow(first + row, inputs.subspan(at, length));
      std::copy_n(inputs.begin() + static_cast<ptrdiff_t>(at) + 1, length - 1,
                  targets.begin() + static_cast<ptrdiff_t>(at));
      targets[at + length - 1] = -1;
    }
    return absl::OkStatus();
  }

  absl::Status FillImages(int64_t first, int64_t count, std::span<uint8_t> images) const override {
    if (frames_.image_height == 0) {
      return absl::FailedPreconditionError("the dataset has no images: give pixels=");
    }
    std::vector<strata::Renderer> renderers;
    for (const strata::World& world : *worlds_) {
      renderers.emplace_back(world, static_cast<int>(frames_.image_height));
    }
    const auto bytes = static_cast<size_t>(renderers.front().bytes());
    ALLO_CHECK(images.size() == static_cast<size_t>(count * window_frames_) * bytes)
        << images.size();
    for (int64_t row = 0; row < count; ++row) {
      const uint64_t number = Number(first + row);
      const size_t universe = number % worlds_->size();
      strata::Episode episode((*worlds_)[universe], number);
      for (int64_t t = 0; t < window_frames_; ++t) {
        if (t > 0) episode.Step(episode.Demonstrate());
        renderers[universe].Draw(episode.view(), images.first(bytes));
        images = images.subspan(bytes);
      }
    }
    return absl::OkStatus();
  }

 private:
  uint64_t Number(int64_t window) const {
    ALLO_CHECK(window >= 0 && window < static_cast<int64_t>(strata::kHeldoutEpisodes)) << window;
    const auto g = static_cast<uint64_t>(window);
    if (order_.heldout) return strata::kHeldoutEpisodes + g;
    return KeyedPermutation(static_cast<uint64_t>(order_.seed), 0, strata::kHeldoutEpisodes, g);
  }

  void FillWindow(int64_t window, std::span<int32_t> out) const {
    const auto observation = static_cast<size_t>(frames_.tokens_per_observation);
    const uint64_t number = Number(window);
    strata::Episode episode((*worlds_)[number % worlds_->size()], number);
    for (int64_t t = 0; t < window_frames_; ++t) {
      tokenizer_.Encode(episode.view(), out.first(observation));
      const int action = episode.Demonstrate();
      out[observation] = tokenizer_.vocabulary() + action;
      out = out.subspan(observation + 1);
      const bool has_outcome = frames_.tokens_per_outcome > 0;
      if (t + 1 == window_frames_ && !has_outcome) break;
      const double reward = episode.Step(action);
      if (!has_outcome) continue;
      // An episode never ends: it is cut off.
      out[0] = tokenizer_.vocabulary() + strata::kActions + OutcomeOf(reward, false);
      out = out.subspan(1);
    }
  }

  const std::shared_ptr<const std::vector<strata::World>> worlds_;
  const strata::Tokenizer tokenizer_;
  const Frames frames_;
  const int64_t context_;
  const int64_t window_frames_;
  const Order order_;
};

absl::Status CheckContext(const Manifest& manifest, int64_t context) {
  const Frames& frames = *manifest.frames;
  if (context < 1 || context % frames.tokens_per_frame() != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("dataset %s: context %d is not a number of whole frames of %d tokens",
                        manifest.name, context, frames.tokens_per_frame()));
  }
  if (context <= frames.tokens_per_episode()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "dataset %s: a window of %d frames is longer than an episode of %d", manifest.name,
      context / frames.tokens_per_frame(), frames.frames_per_episode));
}

}  // namespace

absl::StatusOr<WindowSources> OpenGenerated(absl::string_view text, const WindowOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const strata::Spec spec, strata::ParseSpec(text));
  WindowSources sources;
  ALLO_ASSIGN_OR_RETURN(sources.manifest, GeneratedManifest(text));
  ALLO_RETURN_IF_ERROR(CheckContext(sources.manifest, options.context));
  const auto worlds = std::make_shared<const std::vector<strata::World>>(strata::WorldsOf(spec));
  sources.train =
      std::make_unique<StrataSource>(worlds, sources.manifest, options.context,
                                     StrataSource::Order{.heldout = false, .seed = options.seed});
  sources.heldout = std::make_unique<StrataSource>(worlds, sources.manifest, options.context,
                                                   StrataSource::Order{.heldout = true, .seed = 0});
  sources.heldout_count = options.heldout_windows;
  return sources;
}

}  // namespace allometry::data
