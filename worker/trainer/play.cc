#include "worker/trainer/play.h"

#include <algorithm>
#include <cmath>

#include "data/strata/returns.h"

namespace allometry::trainer {
namespace {

constexpr int64_t kReturnEpisodes = 200;  // as a dataset's manifest has them
constexpr int64_t kMostEpisodeSteps = 27'000;

}  // namespace

absl::StatusOr<Played> Play(environments::Environment& environment, const Observer& observer,
                            int64_t tokens, int64_t first, const Player& player) {
  const auto n = static_cast<size_t>(environment.copies());
  std::vector<int64_t> episodes(n);
  for (size_t i = 0; i < n; ++i) episodes[i] = first + static_cast<int64_t>(i);
  environments::Observations seen;
  ALLO_RETURN_IF_ERROR(environment.Reset(episodes, &seen));
  std::vector<int32_t> shown(n * static_cast<size_t>(tokens));
  std::vector<uint8_t> actions(n), flags(n, 0), over(n, 0);
  std::vector<float> rewards(n, 0.0f);
  Played played;
  played.returns.assign(n, 0.0);
  for (int64_t t = 0; t < kMostEpisodeSteps; ++t) {
    if (std::all_of(over.begin(), over.end(), [](uint8_t is_over) { return is_over != 0; })) break;
    observer.Tokens(seen, shown);
    ALLO_RETURN_IF_ERROR(player({t, shown, rewards, flags}, actions));
    ALLO_RETURN_IF_ERROR(environment.Step(actions, rewards, flags, &seen));
    for (size_t i = 0; i < n; ++i) {
      if (over[i] != 0) continue;
      played.returns[i] += rewards[i];
      played.signs += rewards[i] > 0 ? 1 : rewards[i] < 0 ? -1 : 0;
      played.steps += 1;
      over[i] = (flags[i] & (environments::kEnded | environments::kCutOff)) != 0;
    }
  }
  return played;
}

std::optional<data::Returns> ReturnScale(const std::string& environment,
                                         const data::Manifest& manifest) {
  const auto strata = strata::ParseSpec(environment);
  if (!strata.ok()) return manifest.returns;
  const strata::MeanReturns returns = strata::ReturnsOf(*strata, kReturnEpisodes);
  return data::Returns{.expert = returns.expert, .random = returns.random};
}

void LogReturns(const Played& played, const std::optional<data::Returns>& scale, int64_t step,
                CurveLog& curve) {
  const auto n = static_cast<double>(played.returns.size());
  double mean = 0, square = 0;
  for (const double value : played.returns) mean += value / n;
  for (const double value : played.returns) square += (value - mean) * (value - mean);
  curve.Add(step, "return", mean);
  if (n > 1) curve.Add(step, "return_se", std::sqrt(square / (n - 1) / n));
  curve.Add(step, "real_reward", played.signs / played.steps);
  if (scale.has_value() && scale->expert != scale->random) {
    curve.Add(step, "s_ern", (mean - scale->random) / (scale->expert - scale->random));
  }
}

}  // namespace allometry::trainer
