#include "models/twm/replay.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/split_mix.h"

namespace allometry::models::twm {
namespace {

constexpr int64_t kPixels = kSide * kSide;

}  // namespace

std::vector<int64_t> DrawPlaces(std::span<const float> visits, double temperature, int64_t count,
                                uint64_t seed) {
  ALLO_CHECK(count <= static_cast<int64_t>(visits.size()))
      << count << " of " << visits.size() << " places";
  std::vector<std::pair<double, int64_t>> keys;
  keys.reserve(visits.size());
  for (size_t i = 0; i < visits.size(); ++i) {
    const double u = (static_cast<double>(SplitMix(seed ^ SplitMix(i)) >> 11) + 0.5) * 0x1p-53;
    const double score = temperature > 0 ? -static_cast<double>(visits[i]) / temperature : 0;
    keys.emplace_back(std::log(-std::log(u)) - score, static_cast<int64_t>(i));
  }
  std::partial_sort(keys.begin(), keys.begin() + count, keys.end());
  std::vector<int64_t> places;
  for (int64_t i = 0; i < count; ++i) places.push_back(keys[static_cast<size_t>(i)].second);
  return places;
}

Replay::Replay(int64_t capacity) : visits_(static_cast<size_t>(capacity), 0.0f) {
  images_.reserve(static_cast<size_t>(capacity * kPixels));
}

void Replay::Add(const PlayedStep& step, std::span<const uint8_t> image) {
  ALLO_CHECK(steps_.size() < visits_.size()) << "the replay is full";
  ALLO_CHECK(static_cast<int64_t>(image.size()) == kPixels) << image.size();
  first_of_game_.push_back(steps_.empty() || step.begins ? size() : first_of_game_.back());
  steps_.push_back(step);
  images_.insert(images_.end(), image.begin(), image.end());
}

std::vector<int64_t> Replay::Draw(int64_t steps, double temperature, int64_t count, uint64_t seed,
                                  bool counts) {
  const int64_t places = size() - steps;
  const std::vector<int64_t> drawn =
      DrawPlaces(std::span(visits_).first(static_cast<size_t>(places)), temperature, count, seed);
  if (counts) {
    for (const int64_t place : drawn) visits_[static_cast<size_t>(place)] += 1;
  }
  return drawn;
}

void Replay::Stack(int64_t t, float* out) const {
  const int64_t first = first_of_game_[static_cast<size_t>(t)];
  for (int64_t frame = 0; frame < kFrames; ++frame, out += kPixels) {
    const int64_t of = std::max(first, t - (kFrames - 1) + frame);
    const uint8_t* image = images_.data() + of * kPixels;
    for (int64_t i = 0; i < kPixels; ++i) out[i] = static_cast<float>(image[i]) / 255.0f;
  }
}

Sequences Replay::Gather(std::span<const int64_t> places, int64_t steps) const {
  const auto rows = static_cast<int64_t>(places.size());
  const at::TensorOptions floats = at::TensorOptions().dtype(at::kFloat);
  Sequences batch;
  batch.frames = at::empty({rows, steps + 1, kFrames, kSide, kSide}, floats);
  batch.actions = at::empty({rows, steps}, at::TensorOptions().dtype(at::kLong));
  batch.rewards = at::empty({rows, steps}, floats);
  batch.terminal = at::empty({rows, steps}, floats);
  batch.stop = at::empty({rows, steps}, floats);
  float* frames = batch.frames.mutable_data_ptr<float>();
  auto* actions = batch.actions.mutable_data_ptr<int64_t>();
  float* rewards = batch.rewards.mutable_data_ptr<float>();
  float* terminal = batch.terminal.mutable_data_ptr<float>();
  float* stop = batch.stop.mutable_data_ptr<float>();
  for (const int64_t place : places) {
    ALLO_CHECK(place >= 0 && place + steps < size()) << place;
    for (int64_t t = place; t <= place + steps; ++t, frames += kFrames * kPixels) {
      Stack(t, frames);
      if (t == place + steps) continue;
      const PlayedStep& played = step(t);
      *actions++ = played.action;
      *rewards++ = std::tanh(played.reward);
      *terminal++ = played.terminal ? 1.0f : 0.0f;
      *stop++ = played.stop ? 1.0f : 0.0f;
    }
  }
  return batch;
}

}  // namespace allometry::models::twm
