#include "data/strata/entropy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "base/check.h"
#include "data/strata/episode.h"
#include "data/strata/likelihood.h"
#include "data/strata/policy.h"

namespace allometry::strata {
namespace {

// One window: the total to be averaged and its two controls.
struct Sample {
  double nats = 0;
  std::array<double, 2> controls = {};
};

// The mean of `nats` with the controls' best linear combination taken off, and its standard error.
struct Mean {
  double value = 0;
  double standard_error = 0;
};

Mean ControlledMean(const std::vector<Sample>& samples) {
  const auto n = static_cast<double>(samples.size());
  double mean = 0;
  std::array<double, 2> means = {};
  for (const Sample& s : samples) {
    mean += s.nats / n;
    for (size_t i = 0; i < 2; ++i) means[i] += s.controls[i] / n;
  }
  double c00 = 0, c01 = 0, c11 = 0, y0 = 0, y1 = 0, yy = 0;
  for (const Sample& s : samples) {
    const double a = s.controls[0] - means[0], b = s.controls[1] - means[1], y = s.nats - mean;
    c00 += a * a, c01 += a * b, c11 += b * b, y0 += a * y, y1 += b * y, yy += y * y;
  }
  // Least squares of two variables; one that does not vary (a library of one prefab) gets 0.
  const double det = c00 * c11 - c01 * c01;
  double beta0 = 0, beta1 = 0;
  if (det > 1e-9 * c00 * c11 && det > 0) {
    beta0 = (y0 * c11 - y1 * c01) / det;
    beta1 = (y1 * c00 - y0 * c01) / det;
  } else if (c00 > 0) {
    beta0 = y0 / c00;
  }
  const double rest = std::max(0.0, yy - beta0 * y0 - beta1 * y1);
  return {mean - beta0 * means[0] - beta1 * means[1], std::sqrt(rest / (n * (n - 3)))};
}

class Sampler {
 public:
  Sampler(const World& world, int frames)
      : world_(world), frames_(frames), likelihood_(world), chances_(world.zipf().Chances()) {
    for (const double p : chances_) library_nats_ -= p * std::log(p);
    frame_sums_.resize(static_cast<size_t>(frames));
  }

  Sample Next() {
    Episode episode(world_, kMeasuredEpisodes + number_++);
    Sample sample;
    sample.controls = Controls(episode);
    likelihood_.Begin();
    ActionFilter filter(world_);
    double before = 0, action_sum = 0;
    int action = kWait;
    for (int t = 0; t < frames_; ++t) {
      likelihood_.Observe(episode.view(), action);
      const double log = likelihood_.LogProbability();
      ALLO_CHECK(std::isfinite(log)) << "an episode that its own law excludes";
      frame_sums_[static_cast<size_t>(t)] += before - log;
      before = log;
      action = episode.Demonstrate();
      action_sum -= filter.Observe(episode.view(), action) / frames_;
      episode.Step(action);
    }
    sample.nats = -before;
    actions_.push_back({.nats = action_sum, .controls = {}});
    return sample;
  }

  const std::vector<double>& frame_sums() const { return frame_sums_; }
  Mean Actions() const { return ControlledMean(actions_); }

 private:
  // Rareness of the prefabs in the first view, those wholly in view and the others.
  std::array<double, 2> Controls(const Episode& episode) const {
    std::array<double, 2> controls = {};
    const int side = world_.view_side();
    const int west = episode.x() - world_.centre() + kWorldSide;
    const int north = episode.y() - world_.centre() + kWorldSide;
    for (int v = north / kPrefabSide; v <= (north + side - 1) / kPrefabSide; ++v) {
      for (int u = west / kPrefabSide; u <= (west + side - 1) / kPrefabSide; ++u) {
        const int x = u * kPrefabSide, y = v * kPrefabSide;
        const bool whole = x >= west && y >= north && x + kPrefabSide <= west + side &&
                           y + kPrefabSide <= north + side;
        const auto k = static_cast<size_t>(episode.PrefabAt(x, y));
        controls[whole ? 0 : 1] += -std::log(chances_[k]) - library_nats_;
      }
    }
    return controls;
  }

  const World& world_;
  const int frames_;
  WindowLikelihood likelihood_;
  const std::vector<double> chances_;
  double library_nats_ = 0;
  uint64_t number_ = 0;
  std::vector<double> frame_sums_;
  std::vector<Sample> actions_;
};

// Adds to `law` 1/16 of the law of the first token where the grid lies at (phase_x, phase_y). A
// lossless token is its tiles, three bits each, the first ones highest; those in different slots
// are independent.
void AddFirstTokenLaw(const std::vector<PrefabAppearance>& appearances, int block, int phase_x,
                      int phase_y, std::vector<double>& law) {
  struct Cell {
    int nibble;  // shift in PrefabAppearance::tiles
    int token;   // shift in the token
  };
  std::map<std::pair<int, int>, std::vector<Cell>> slots;
  for (int i = 0; i < block * block; ++i) {
    const int x = i % block + phase_x, y = i / block + phase_y;
    slots[{x / kPrefabSide, y / kPrefabSide}].push_back(
        {4 * (y % kPrefabSide * kPrefabSide + x % kPrefabSide), 3 * (block * block - 1 - i)});
  }
  std::vector<double> of_phase(law.size(), 1.0 / (kPrefabSide * kPrefabSide));
  for (const auto& [slot, cells] : slots) {
    std::vector<double> of_slot(law.size(), 0.0);  // by the token's bits that the slot has
    size_t bits = 0;
    for (const Cell& cell : cells) bits |= size_t{7} << cell.token;
    for (const PrefabAppearance& appearance : appearances) {
      size_t token = 0;
      for (const Cell& cell : cells) token |= (appearance.tiles >> cell.nibble & 7) << cell.token;
      of_slot[token] += appearance.chance;
    }
    for (size_t token = 0; token < law.size(); ++token) of_phase[token] *= of_slot[token & bits];
  }
  for (size_t token = 0; token < law.size(); ++token) law[token] += of_phase[token];
}

}  // namespace

double FirstTokenEntropy(const World& world) {
  const Tokenizer tokenizer = *Tokenizer::Create(world.spec().view, world.spec().zo);
  ALLO_CHECK(tokenizer.lossless()) << "zo " << world.spec().zo;
  const std::vector<PrefabAppearance> appearances = AppearancesOf(world);
  std::vector<double> law(static_cast<size_t>(tokenizer.vocabulary()), 0.0);
  for (int y = 0; y < kPrefabSide; ++y) {
    for (int x = 0; x < kPrefabSide; ++x)
      AddFirstTokenLaw(appearances, tokenizer.block(), x, y, law);
  }
  double nats = 0;
  for (const double p : law) {
    if (p > 0) nats -= p * std::log(p);
  }
  return nats;
}

EntropyEstimate EstimateEntropy(const World& world, const EntropyOptions& options) {
  EntropyEstimate estimate;
  estimate.first_token_nats = FirstTokenEntropy(world);
  const auto zo = static_cast<double>(world.spec().zo);
  const double supervised = options.frames * zo - 1;
  Sampler sampler(world, options.frames);
  std::vector<Sample> samples;
  int64_t wanted = std::max<int64_t>(8, options.least_windows);
  Mean mean;
  // Doubling, so that when to stop is decided a few times only.
  while (true) {
    while (static_cast<int64_t>(samples.size()) < wanted) {
      samples.push_back(sampler.Next());
      if (options.progress != nullptr) {
        options.progress(static_cast<int64_t>(samples.size()), mean.standard_error / supervised);
      }
    }
    mean = ControlledMean(samples);
    if (mean.standard_error / supervised <= options.standard_error) break;
    if (wanted >= options.most_windows) break;
    wanted = std::min(2 * wanted, options.most_windows);
  }
  const auto n = static_cast<double>(samples.size());
  estimate.nats_per_token = (mean.value - estimate.first_token_nats) / supervised;
  estimate.standard_error = mean.standard_error / supervised;
  for (const double sum : sampler.frame_sums()) {
    estimate.frame_nats_per_token.push_back(sum / n / zo);
  }
  const Mean actions = sampler.Actions();
  estimate.action_nats = actions.value;
  estimate.action_standard_error = actions.standard_error;
  estimate.windows = static_cast<int64_t>(samples.size());
  return estimate;
}

}  // namespace allometry::strata
