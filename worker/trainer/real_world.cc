#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "worker/trainer/agent_world.h"

namespace allometry::trainer {
namespace {

// Codes of images that are encoded together. Part of a run's numbers: do not change.
constexpr size_t kGroup = 64;

class RealWorld final : public AgentWorld {
 public:
  RealWorld(std::unique_ptr<environments::Environment> environment, const Observer& observer,
            int64_t most_steps)
      : environment_(std::move(environment)),
        observer_(observer),
        most_steps_(most_steps),
        rows_(static_cast<size_t>(environment_->copies())),
        episodes_(rows_, -1),
        taken_(rows_),
        over_(rows_, 1),
        reals_(rows_),
        flags_(rows_) {}

  absl::Status Begin(int64_t /*update*/, std::span<int32_t> observations) override {
    std::vector<int64_t> starts(rows_, environments::kLeave);
    for (size_t row = 0; row < rows_; ++row) {
      if (over_[row] == 0) continue;
      starts[row] = kTrainingEpisodes + next_episode_++;
      episodes_[row] = starts[row];
      taken_[row].clear();
      over_[row] = 0;
    }
    ALLO_RETURN_IF_ERROR(environment_->Reset(starts, &seen_));
    observer_.Tokens(seen_, observations);
    return absl::OkStatus();
  }

  absl::Status Step(std::span<const uint8_t> actions, std::span<double> rewards,
                    std::span<uint8_t> ends, std::span<int32_t> observations) override {
    ALLO_RETURN_IF_ERROR(environment_->Step(actions, reals_, flags_, &seen_));
    for (size_t row = 0; row < rows_; ++row) {
      rewards[row] = reals_[row] > 0 ? 1 : reals_[row] < 0 ? -1 : 0;
      ends[row] = 1;
      if (over_[row] != 0) {
        rewards[row] = 0;
        continue;
      }
      taken_[row].push_back(actions[row]);
      const bool too_long = static_cast<int64_t>(taken_[row].size()) >= most_steps_;
      const bool ended = (flags_[row] & (environments::kEnded | environments::kCutOff)) != 0;
      over_[row] = ended || too_long ? 1 : 0;
      ends[row] = over_[row];
    }
    observer_.Tokens(seen_, observations);
    return absl::OkStatus();
  }

  // The number of the next episode; of each row its episode, how many actions were taken, whether
  // it is over, and the actions: an environment is a function of those.
  int64_t state_size() const override {
    return 1 + static_cast<int64_t>(rows_) * (3 + most_steps_);
  }

  void Save(std::span<float> state) const override {
    std::fill(state.begin(), state.end(), 0.0f);
    state[0] = static_cast<float>(next_episode_);
    for (size_t row = 0; row < rows_; ++row) {
      float* of = state.data() + 1 + row * static_cast<size_t>(3 + most_steps_);
      of[0] = static_cast<float>(episodes_[row] - kTrainingEpisodes);
      of[1] = static_cast<float>(taken_[row].size());
      of[2] = over_[row];
      std::copy(taken_[row].begin(), taken_[row].end(), of + 3);
    }
  }

  absl::Status Restore(std::span<const float> state) override {
    next_episode_ = static_cast<int64_t>(state[0]);
    size_t steps = 0;
    for (size_t row = 0; row < rows_; ++row) {
      const float* of = state.data() + 1 + row * static_cast<size_t>(3 + most_steps_);
      episodes_[row] = kTrainingEpisodes + static_cast<int64_t>(of[0]);
      over_[row] = of[2] != 0 ? 1 : 0;
      taken_[row].clear();
      for (int64_t i = 0; i < static_cast<int64_t>(of[1]); ++i) {
        taken_[row].push_back(static_cast<uint8_t>(of[3 + i]));
      }
      steps = std::max(steps, taken_[row].size());
    }
    // Rows have taken different numbers of steps: each begins when so many are left.
    std::vector<uint8_t> actions(rows_);
    for (size_t left = steps; left > 0; --left) {
      std::vector<int64_t> starts(rows_, environments::kLeave);
      bool any = left == steps;
      for (size_t row = 0; row < rows_; ++row) {
        // Those with fewer steps play along until it is their time.
        if (taken_[row].size() == left || left == steps) starts[row] = episodes_[row];
        any |= taken_[row].size() == left;
      }
      if (any) ALLO_RETURN_IF_ERROR(environment_->Reset(starts, &seen_));
      for (size_t row = 0; row < rows_; ++row) {
        const size_t own = taken_[row].size();
        actions[row] = own >= left ? taken_[row][own - left] : 0;
      }
      ALLO_RETURN_IF_ERROR(environment_->Step(actions, reals_, flags_, &seen_));
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<environments::Environment> environment_;
  const Observer observer_;
  const int64_t most_steps_;
  const size_t rows_;
  int64_t next_episode_ = 0;  // from kTrainingEpisodes
  std::vector<int64_t> episodes_;
  std::vector<std::vector<uint8_t>> taken_;  // actions since the episode began
  std::vector<uint8_t> over_;
  std::vector<float> reals_;
  std::vector<uint8_t> flags_;
  environments::Observations seen_;
};

}  // namespace

absl::StatusOr<Observer> Observer::Create(const environments::Interface& interface,
                                          const data::Manifest& manifest,
                                          const TokenizerFile* tokenizer) {
  const auto wrong = [&](const std::string& what) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the environment is not one of dataset %s: %s", manifest.name, what));
  };
  const int64_t actions = data::ActionVocabulary(manifest);
  if (manifest.frames->tokens_per_action != 1 || interface.actions != actions) {
    return wrong(absl::StrFormat("it has %d actions, the dataset %d", interface.actions, actions));
  }
  const int64_t tokens = manifest.frames->tokens_per_observation;
  if (interface.tokens > 0) {
    if (tokenizer != nullptr) return wrong("it shows tokens, and the dataset's are of images");
    if (interface.tokens == tokens) return Observer();
    return wrong(absl::StrFormat("it shows %d tokens, the dataset %d", interface.tokens, tokens));
  }
  if (tokenizer == nullptr) return wrong("it shows images, and there is no tokenizer to read them");
  const models::Shape& shape = tokenizer->shape;
  if (interface.height != shape.image_height || interface.width != shape.image_width ||
      interface.channels != shape.image_channels) {
    return wrong(
        absl::StrFormat("it shows images of %d x %d x %d, the tokenizer's are %d x %d x %d",
                        interface.height, interface.width, interface.channels, shape.image_height,
                        shape.image_width, shape.image_channels));
  }
  Observer observer;
  observer.tokenizer_ = tokenizer;
  return observer;
}

void Observer::Tokens(const environments::Observations& seen, std::span<int32_t> tokens) const {
  if (tokenizer_ == nullptr) {
    ALLO_CHECK(seen.tokens.size() == tokens.size()) << seen.tokens.size();
    std::copy(seen.tokens.begin(), seen.tokens.end(), tokens.begin());
    return;
  }
  const models::Shape& shape = tokenizer_->shape;
  const auto bytes =
      static_cast<size_t>(shape.image_height) * shape.image_width * shape.image_channels;
  const auto places = static_cast<size_t>(shape.context);
  // Always whole groups: the last is filled up with black images.
  std::vector<uint8_t> images(kGroup * bytes);
  std::vector<int32_t> codes(kGroup * places);
  const size_t count = seen.images.size() / bytes;
  ALLO_CHECK(count * places == tokens.size()) << count;
  for (size_t first = 0; first < count; first += kGroup) {
    const size_t here = std::min(kGroup, count - first);
    std::fill(images.begin(), images.end(), uint8_t{0});
    std::copy_n(seen.images.begin() + static_cast<ptrdiff_t>(first * bytes), here * bytes,
                images.begin());
    tokenizer_->tokenizer->Encode(images, codes);
    std::copy_n(codes.begin(), here * places,
                tokens.begin() + static_cast<ptrdiff_t>(first * places));
  }
}

std::unique_ptr<AgentWorld> CreateRealWorld(std::unique_ptr<environments::Environment> environment,
                                            const Observer& observer, int64_t most_steps) {
  return std::make_unique<RealWorld>(std::move(environment), observer, most_steps);
}

}  // namespace allometry::trainer
