#include "data/strata/returns.h"

#include <vector>

#include "data/strata/episode.h"

namespace allometry::strata {

MeanReturns ReturnsOf(const Spec& spec, int64_t episodes) {
  const auto mean = [&](const char* policy) {
    Spec with = spec;
    with.policy = policy;
    const std::vector<World> worlds = WorldsOf(with);
    double sum = 0;
    for (int64_t i = 0; i < episodes; ++i) {
      const uint64_t number = kMeasuredEpisodes + static_cast<uint64_t>(i);
      Episode episode(worlds[number % worlds.size()], number);
      while (episode.frame() < spec.frames) sum += episode.Step(episode.Demonstrate());
    }
    return sum / static_cast<double>(episodes);
  };
  return {.expert = mean("expert"), .random = mean("random")};
}

}  // namespace allometry::strata
