#include "data/strata/episode.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/strata/policy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::strata {
namespace {

Spec SpecOf(const std::string& text) { return *ParseSpec("strata:" + text); }

// Views and actions of an episode as one string.
std::string History(const World& world, uint64_t number, int frames) {
  std::string history;
  Episode episode(world, number);
  for (int t = 0; t < frames; ++t) {
    history.append(episode.view().begin(), episode.view().end());
    const int action = episode.Demonstrate();
    history += static_cast<char>(action);
    episode.Step(action);
  }
  return history;
}

TEST(EpisodeTest, IsAFunctionOfSpecAndNumber) {
  const World world(SpecOf("universe=3,movers=0.5,noise=0.5"));
  EXPECT_EQ(History(world, 5, 50), History(World(world.spec()), 5, 50));
  EXPECT_NE(History(world, 5, 1), History(world, 6, 1));
  EXPECT_NE(History(world, 5, 1), History(World(SpecOf("universe=4,movers=0.5,noise=0.5")), 5, 1));
  EXPECT_NE(History(world, 5, 1),
            History(World(SpecOf("universe=3,movers=0.5,noise=0.5,seed=1")), 5, 1));
}

TEST(EpisodeTest, StoredValuesNeverChange) {
  // Runs are pinned to the text of a spec alone: what it generates must stay.
  EXPECT_EQ(HashHex(History(World(SpecOf("universe=7")), 11, 100)), "96229074e68656e6");
  EXPECT_EQ(HashHex(History(World(SpecOf("regime=noisy,view=8,zo=16,alpha=1,share=0.5")),
                            kHeldoutEpisodes, 100)),
            "622fef1ba2f614c2");
}

TEST(EpisodeTest, TheWorldStaysWhereTheAgentIsNot) {
  // Without movers, a cell seen again after a walk round the torus is as before or rewritten.
  const World world(SpecOf("universe=9,movers=0,policy=random"));
  Episode episode(world, 1);
  std::map<std::pair<int, int>, uint8_t> known;
  int x = 0, y = 0;
  for (int t = 0; t < 2000; ++t) {
    const auto view = episode.view();
    for (int v = 0; v < 16; ++v) {
      for (int u = 0; u < 16; ++u) {
        if (u == 8 && v == 8) continue;
        const uint8_t tile = view[static_cast<size_t>(v * 16 + u)];
        const auto [at, fresh] = known.emplace(std::pair((x + u) & 63, (y + v) & 63), tile);
        ASSERT_EQ(at->second, tile) << "frame " << t;
      }
    }
    const int action = t % 7 == 0 ? episode.Demonstrate() : t / 100 % 2 == 0 ? kEast : kSouth;
    const Effect effect = world.EffectOf(view, action);
    if (effect.rewrites) known[{(x + 9) & 63, (y + 8) & 63}] = effect.tile;
    episode.Step(action);
    x += effect.dx;
    y += effect.dy;
  }
}

TEST(EpisodeTest, ExpertsHarvestMoreThanTheHalfSkilledAndTheyMoreThanChance) {
  std::map<std::string, double> returns;
  for (const char* policy : {"expert", "half", "random"}) {
    const World world(SpecOf(std::string("universe=2,policy=") + policy));
    for (uint64_t number = 0; number < 40; ++number) {
      Episode episode(world, kMeasuredEpisodes + number);
      for (int t = 0; t < 64; ++t) returns[policy] += episode.Step(episode.Demonstrate()) / 40;
    }
  }
  EXPECT_GT(returns["expert"], 1.5 * returns["half"]);
  EXPECT_GT(returns["half"], 2 * returns["random"]);
}

TEST(ActionFilterTest, LawsOfActionsSumToOneAndDrawsFollowThem) {
  const World world(SpecOf("universe=2,policy=mix3"));
  Episode episode(world, 3);
  for (int t = 0; t < 30; ++t) {
    for (int goal = 0; goal < kResources; ++goal) {
      double sum = 0;
      for (const double p : ActionLaw(world, episode.view(), goal, 0.5)) sum += p;
      EXPECT_NEAR(sum, 1, 1e-12);
    }
    episode.Step(episode.Demonstrate());
  }
  const auto law = ActionLaw(world, episode.view(), 1, 0.75);
  std::vector<double> counts(kActions);
  for (uint64_t i = 0; i < 20000; ++i) {
    ++counts[static_cast<size_t>(DrawAction(world, episode.view(), 1, 0.75, world.EpisodeKey(i)))];
  }
  for (size_t a = 0; a < kActions; ++a) EXPECT_NEAR(counts[a] / 20000, law[a], 0.015);
}

TEST(ActionFilterTest, EqualsTheSumOverGoalsAndSkills) {
  // Every path of hidden goals, one by one.
  const World world(SpecOf("universe=2,policy=mix3"));
  Episode episode(world, 8);
  constexpr int kFrames = 6;
  std::vector<std::vector<uint8_t>> views;
  std::vector<int> actions;
  ActionFilter filter(world);
  double log = 0;
  for (int t = 0; t < kFrames; ++t) {
    views.emplace_back(episode.view().begin(), episode.view().end());
    actions.push_back(episode.Demonstrate());
    log += filter.Observe(views.back(), actions.back());
    episode.Step(actions.back());
  }
  double total = 0;
  for (const double skill : {0.0, 0.75, 1.0}) {
    for (int path = 0; path < 729; ++path) {
      double chance = 1.0 / 9;
      int rest = path, before = -1;
      for (int t = 0; t < kFrames; ++t, rest /= 3) {
        const int goal = rest % 3;
        if (t > 0) chance *= kGoalTurns / 3 + (goal == before ? 1 - kGoalTurns : 0);
        before = goal;
        chance *= ActionLaw(world, views[static_cast<size_t>(t)], goal,
                            skill)[static_cast<size_t>(actions[static_cast<size_t>(t)])];
      }
      total += chance;
    }
  }
  EXPECT_NEAR(log, std::log(total), 1e-10);
}

}  // namespace
}  // namespace allometry::strata
