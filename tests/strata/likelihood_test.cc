#include "data/strata/likelihood.h"

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "data/strata/episode.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::strata {
namespace {

Spec SpecOf(const std::string& text) { return *ParseSpec("strata:" + text); }

struct Window {
  std::vector<std::vector<uint8_t>> views;
  std::vector<int> actions;
};

Window Record(const World& world, uint64_t number, int frames) {
  Window window;
  Episode episode(world, number);
  for (int t = 0; t < frames; ++t) {
    window.views.emplace_back(episode.view().begin(), episode.view().end());
    window.actions.push_back(episode.Demonstrate());
    episode.Step(window.actions.back());
  }
  return window;
}

double LogOf(WindowLikelihood& likelihood, const Window& window) {
  likelihood.Begin();
  for (size_t t = 0; t < window.views.size(); ++t) {
    likelihood.Observe(window.views[t], t == 0 ? 0 : window.actions[t - 1]);
  }
  return likelihood.LogProbability();
}

// The chance of a window by going through worlds one by one: every place of the grid, every prefab
// in every slot, every place of its mover, every turn that a random one can take. A world counts
// with its chance where it shows the window. Slots are gone through in depth, so that a world is
// left as soon as one of its slots shows something else.
class AllWorlds {
 public:
  AllWorlds(const World& world, const Window& window) : world_(world) {
    chances_ = world.zipf().Chances();
    int x = 0, y = 0;
    std::map<std::pair<int, int>, uint8_t> rewritten;
    for (size_t t = 0; t < window.views.size(); ++t) {
      if (t > 0) {
        const Effect effect = world.EffectOf(window.views[t - 1], window.actions[t - 1]);
        if (effect.rewrites) rewritten[{x + 5, y + 4}] = effect.tile;
        x += effect.dx;
        y += effect.dy;
      }
      for (int v = 0; v < 8; ++v) {
        for (int u = 0; u < 8; ++u) {
          const uint8_t tile = window.views[t][static_cast<size_t>(v * 8 + u)];
          if (u == 4 && v == 4) {
            seasons_.push_back(tile - kAgent);
          } else if (rewritten.count({x + u, y + v}) == 0) {
            // 40 keeps coordinates positive.
            shown_.push_back({static_cast<int>(t), x + u + 40, y + v + 40, tile});
          }
        }
      }
    }
  }

  double Chance() {
    double seasons = 0.5;
    for (size_t t = 1; t < seasons_.size(); ++t) {
      seasons *= seasons_[t] == seasons_[t - 1] ? 1 - kSeasonTurns : kSeasonTurns;
    }
    double total = 0;
    for (int phase = 0; phase < 16; ++phase) {
      slots_.clear();
      for (const Shown& shown : shown_) {
        const int x = shown.x + phase % 4, y = shown.y + phase / 4;
        slots_[{x / 4, y / 4}].push_back({shown.frame, x % 4, y % 4, shown.tile});
      }
      total += From(slots_.begin()) / 16;
    }
    return seasons * total;
  }

 private:
  struct Shown {
    int frame, x, y;
    uint8_t tile;
  };
  using Slots = std::map<std::pair<int, int>, std::vector<Shown>>;

  bool Shows(const Prefab& prefab, int frame, int at, const std::vector<Shown>& shown) const {
    for (const Shown& cell : shown) {
      if (cell.frame != frame) continue;
      const bool mover = prefab.mover != MoverKind::kNone && cell.y == prefab.row && cell.x == at;
      const uint64_t tiles = mover ? prefab.With(at) : prefab.tiles;
      const auto tile = tiles >> 4 * (4 * cell.y + cell.x) & 15;
      if (tile != cell.tile) return false;
    }
    return true;
  }

  // Sum over the rest of the world, this slot's mover being at `at` in `frame`.
  double Walk(Slots::iterator slot, const Prefab& prefab, int frame, int at) {
    if (!Shows(prefab, frame, at, slot->second)) return 0;
    if (frame + 1 == static_cast<int>(seasons_.size())) return From(std::next(slot));
    double sum = 0;
    const int turns = MoverTurns(prefab.mover);
    for (int turn = 0; turn < turns; ++turn) {
      const int next = MoverNext(prefab.mover, at, seasons_[static_cast<size_t>(frame)], turn);
      sum += Walk(slot, prefab, frame + 1, next) / turns;
    }
    return sum;
  }

  double From(Slots::iterator slot) {
    if (slot == slots_.end()) return 1;
    double sum = 0;
    for (size_t k = 0; k < chances_.size(); ++k) {
      const Prefab prefab = world_.PrefabOf(static_cast<int64_t>(k));
      const int places = prefab.mover == MoverKind::kNone ? 1 : 4;
      for (int at = 0; at < places; ++at) sum += chances_[k] / places * Walk(slot, prefab, 0, at);
    }
    return sum;
  }

  const World& world_;
  std::vector<double> chances_;
  std::vector<int> seasons_;
  std::vector<Shown> shown_;
  Slots slots_;
};

TEST(WindowLikelihoodTest, EqualsTheSumOverAllWorldsOfATinyLibrary) {
  for (const char* spec : {"library=1,movers=1,noise=0", "library=2,movers=0.5,noise=0",
                           "library=3,movers=0", "library=2,movers=1,noise=0.5,universe=6"}) {
    const World world(SpecOf(std::string(spec) + ",view=8,zo=16,policy=half"));
    WindowLikelihood likelihood(world);
    for (uint64_t number = 0; number < 4; ++number) {
      const Window window = Record(world, number, 2);
      const double log = LogOf(likelihood, window);
      EXPECT_NEAR(log, std::log(AllWorlds(world, window).Chance()), 1e-9)
          << spec << " episode " << number;
    }
  }
}

TEST(WindowLikelihoodTest, EqualsTheSumOverAllWorldsAfterWalksAndRewrites) {
  const World world(SpecOf("library=3,movers=0.4,universe=12,view=8,zo=16,policy=expert"));
  WindowLikelihood likelihood(world);
  int rewrites = 0, walks = 0;
  for (uint64_t number = 0; number < 6; ++number) {
    const Window window = Record(world, number, 5);
    for (size_t t = 0; t + 1 < 5; ++t) {
      const Effect effect = world.EffectOf(window.views[t], window.actions[t]);
      rewrites += effect.rewrites;
      walks += effect.dx != 0 || effect.dy != 0;
    }
    EXPECT_NEAR(LogOf(likelihood, window), std::log(AllWorlds(world, window).Chance()), 1e-9);
  }
  EXPECT_GT(rewrites, 2);
  EXPECT_GT(walks, 5);
}

TEST(WindowLikelihoodTest, ChancesOfTheNextViewSumToOne) {
  // One prefab with a random mover; a first view whose grid is where the view begins: four slots,
  // all in view. Then 256 next views in either season, and no others.
  const World world(SpecOf("library=1,movers=1,noise=1,view=8,zo=16,policy=random"));
  const Prefab prefab = world.PrefabOf(0);
  const auto view_of = [&](int places, int season) {
    std::vector<uint8_t> view(64);
    for (int slot = 0; slot < 4; ++slot) {
      const uint64_t tiles = prefab.With(places >> 2 * slot & 3);
      for (int i = 0; i < 16; ++i) {
        const int x = slot % 2 * 4 + i % 4, y = slot / 2 * 4 + i / 4;
        view[static_cast<size_t>(y * 8 + x)] = tiles >> 4 * i & 15;
      }
    }
    view[4 * 8 + 4] = static_cast<uint8_t>(kAgent + season);
    return view;
  };
  WindowLikelihood likelihood(world);
  likelihood.Begin();
  likelihood.Observe(view_of(0, 0), 0);
  const double first = likelihood.LogProbability();
  ASSERT_TRUE(std::isfinite(first));
  // Views that differ below the agent alone are one view.
  std::map<std::vector<uint8_t>, double> next;
  for (int places = 0; places < 256; ++places) {
    for (const int season : {0, 1}) {
      const auto view = view_of(places, season);
      likelihood.Begin();
      likelihood.Observe(view_of(0, 0), 0);
      likelihood.Observe(view, kWait);
      next[view] = std::exp(likelihood.LogProbability() - first);
    }
  }
  double sum = 0;
  for (const auto& [view, chance] : next) sum += chance;
  EXPECT_NEAR(sum, 1, 1e-9);
}

TEST(WindowLikelihoodTest, AViewsTokensFollowOneAnotherByTheChainRule) {
  const World world(SpecOf("library=64,movers=0.5,noise=0.5,view=8,zo=16,policy=half"));
  WindowLikelihood likelihood(world);
  const Window window = Record(world, 4, 2);
  double before = 0;
  for (int64_t tokens = 0; tokens <= 16; ++tokens) {
    likelihood.Begin();
    likelihood.Observe(window.views[0], 0);
    likelihood.Observe(window.views[1], window.actions[0], tokens);
    const double log = likelihood.LogProbability();
    if (tokens > 0) {
      EXPECT_LE(log, before + 1e-12);
    }
    before = log;
  }
  EXPECT_NEAR(before, LogOf(likelihood, window), 1e-12);
}

TEST(WindowLikelihoodTest, WhatCannotBeHasNoChance) {
  const World world(SpecOf("library=4,movers=0,view=8,zo=16"));
  Window window = Record(world, 1, 1);
  for (uint8_t& tile : window.views[0]) {
    if (tile < kAgent) tile = kMover;
  }
  WindowLikelihood likelihood(world);
  EXPECT_TRUE(std::isinf(LogOf(likelihood, window)));
}

}  // namespace
}  // namespace allometry::strata
