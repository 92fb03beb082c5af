#include "data/strata/world.h"

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "data/strata/draws.h"
#include "data/strata/render.h"
#include "data/strata/tokens.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::strata {
namespace {

Spec SpecOf(const std::string& text) { return *ParseSpec("strata:" + text); }

TEST(ZipfTest, FrequenciesOfDrawsAreTheChances) {
  for (const int64_t size : {1, 2, 7, 1000}) {
    const Zipf zipf(size, 1.35);
    const std::vector<double> chances = zipf.Chances();
    constexpr int kDraws = 200000;
    std::vector<int> counts(chances.size());
    for (uint64_t i = 0; i < kDraws; ++i) {
      const int64_t k = zipf.Draw(Mix(11, i));
      ASSERT_TRUE(k >= 0 && k < size);
      ++counts[static_cast<size_t>(k)];
    }
    // Pearson's chi-square over the first ten and the rest: 99.9 % is below 30 for 10 degrees.
    double chi = 0, rest_chance = 1, rest = kDraws;
    for (size_t k = 0; k < std::min<size_t>(10, chances.size()); ++k) {
      const double expected = kDraws * chances[k];
      chi += (counts[k] - expected) * (counts[k] - expected) / expected;
      rest_chance -= chances[k];
      rest -= counts[k];
    }
    if (rest_chance > 1e-9)
      chi += std::pow(rest - kDraws * rest_chance, 2) / (kDraws * rest_chance);
    EXPECT_LT(chi, 30) << size;
  }
}

TEST(ZipfTest, ChancesFallAsThePowerSays) {
  const std::vector<double> p = Zipf(65536, 1.35).Chances();
  EXPECT_NEAR(p[0] / p[999], std::pow(1000, 1.35), 1e-6 * std::pow(1000, 1.35));
  double sum = 0, entropy = 0;
  for (const double chance : p) sum += chance, entropy -= chance * std::log(chance);
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_NEAR(entropy, 4.11, 0.01);
}

TEST(WorldTest, PrefabsDependOnTheUniverseAndMoversWalkOnGround) {
  const World one(SpecOf("universe=1,movers=0.5,noise=0.5")), two(SpecOf("universe=2"));
  std::map<MoverKind, int> kinds;
  int equal = 0;
  for (int64_t k = 0; k < 4000; ++k) {
    const Prefab prefab = one.PrefabOf(k);
    ++kinds[prefab.mover];
    equal += prefab.tiles == two.PrefabOf(k).tiles;
    if (prefab.mover == MoverKind::kNone) continue;
    EXPECT_EQ(prefab.tiles >> 16 * prefab.row & 0xffff, 0u);
    EXPECT_EQ(prefab.With(2) >> 4 * (4 * prefab.row + 2) & 15, uint64_t{kMover});
  }
  EXPECT_LT(equal, 3);
  EXPECT_NEAR(kinds[MoverKind::kNone], 2000, 150);
  EXPECT_NEAR(kinds[MoverKind::kRandom], 1000, 150);
  EXPECT_NEAR(kinds[MoverKind::kPeriodic], 500, 100);
  EXPECT_NEAR(kinds[MoverKind::kDirected], 500, 100);
}

TEST(WorldTest, UniversesThatShareHaveThatShareOfPrefabsInCommon) {
  const World one(SpecOf("universe=1,share=0.5")), two(SpecOf("universe=2,share=0.5"));
  const World all(SpecOf("universe=3,share=1")), none(SpecOf("universe=3"));
  int half = 0, whole = 0;
  for (int64_t k = 0; k < 4000; ++k) {
    half += one.PrefabOf(k).tiles == two.PrefabOf(k).tiles;
    whole += one.PrefabOf(k).tiles == all.PrefabOf(k).tiles;
  }
  EXPECT_NEAR(half, 2000, 150);
  EXPECT_EQ(half, whole);
  EXPECT_NE(all.PrefabOf(5).tiles, none.PrefabOf(5).tiles);
}

// A view of ground with the agent in its middle.
std::vector<uint8_t> Empty(const World& world) {
  std::vector<uint8_t> view(static_cast<size_t>(world.view_cells()), kGround);
  view[static_cast<size_t>(world.centre() * world.view_side() + world.centre())] = kAgent;
  return view;
}

TEST(WorldTest, WallsBlockAndKeysHarvest) {
  const World world(SpecOf("universe=5,view=8,zo=64"));
  std::vector<uint8_t> view = Empty(world);
  uint8_t& east = view[4 * 8 + 5];
  EXPECT_EQ(world.EffectOf(view, kEast).dx, 1);
  EXPECT_EQ(world.EffectOf(view, kNorth).dy, -1);
  EXPECT_FALSE(world.EffectOf(view, kUse).rewrites);
  east = kMover;
  EXPECT_EQ(world.EffectOf(view, kEast).dx, 1);
  EXPECT_FALSE(world.EffectOf(view, kUse + 1).rewrites);
  east = kWall;
  EXPECT_EQ(world.EffectOf(view, kEast).dx, 0);
  EXPECT_EQ(world.EffectOf(view, kWest).dx, -1);
  for (int resource = 0; resource < kResources; ++resource) {
    east = static_cast<uint8_t>(kResource + resource);
    for (int item = 0; item < kItems; ++item) {
      const Effect effect = world.EffectOf(view, kUse + item);
      EXPECT_EQ(effect.reward, item == world.KeyItem(resource) ? 1 : 0);
      if (effect.reward > 0) {
        EXPECT_TRUE(effect.rewrites && effect.tile < kResource);
      }
    }
  }
}

TEST(WorldTest, MoversStayUniformOnTheirRings) {
  for (const MoverKind kind : {MoverKind::kPeriodic, MoverKind::kDirected, MoverKind::kRandom}) {
    for (const int season : {0, 1}) {
      std::vector<int> arrivals(4);
      for (int at = 0; at < 4; ++at) {
        for (int turn = 0; turn < MoverTurns(kind); ++turn) {
          ++arrivals[static_cast<size_t>(MoverNext(kind, at, season, turn))];
        }
      }
      EXPECT_THAT(arrivals, ::testing::Each(MoverTurns(kind)));
    }
  }
  EXPECT_EQ(MoverNext(MoverKind::kPeriodic, 3, 1, 0), 0);
  EXPECT_EQ(MoverNext(MoverKind::kDirected, 0, 1, 0), 3);
}

TEST(StrataTokensTest, LosslessTokensTellEveryTile) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Create(8, 16));
  EXPECT_TRUE(tokenizer.lossless());
  EXPECT_EQ(tokenizer.vocabulary(), 4096);
  std::vector<uint8_t> view(64);
  for (size_t i = 0; i < 64; ++i) view[i] = static_cast<uint8_t>(Mix(3, i) % kTiles);
  std::vector<int32_t> tokens(16);
  tokenizer.Encode(view, tokens);
  for (size_t block = 0; block < 16; ++block) {
    const size_t corner = block / 4 * 2 * 8 + block % 4 * 2;
    const std::vector<int> tiles = {tokens[block] >> 9 & 7, tokens[block] >> 6 & 7,
                                    tokens[block] >> 3 & 7, tokens[block] & 7};
    EXPECT_THAT(tiles, ::testing::ElementsAre(view[corner], view[corner + 1], view[corner + 8],
                                              view[corner + 9]));
  }
}

TEST(StrataTokensTest, HashedTokensSpreadAndStayInTheVocabulary) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Create(16, 16));
  EXPECT_FALSE(tokenizer.lossless());
  std::set<int32_t> seen;
  std::vector<uint8_t> view(256);
  std::vector<int32_t> tokens(16);
  for (uint64_t i = 0; i < 200; ++i) {
    for (size_t c = 0; c < 256; ++c) view[c] = static_cast<uint8_t>(Mix(i, c) % kTiles);
    tokenizer.Encode(view, tokens);
    for (const int32_t token : tokens) {
      ASSERT_TRUE(token >= 0 && token < 4096);
      seen.insert(token);
    }
  }
  // 3200 balls in 4096 urns: 2221 expected, standard deviation about 25.
  EXPECT_NEAR(static_cast<double>(seen.size()), 2221, 150);
}

TEST(StrataRenderTest, TilesHaveDifferentSpritesAndSmallImagesAreSubsampled) {
  const World world(SpecOf("universe=4,view=8,zo=64"));
  std::vector<uint8_t> view(64);
  for (size_t i = 0; i < 64; ++i) view[i] = static_cast<uint8_t>(i % kTiles);
  const Renderer large(world, 64), small(world, 16);
  std::vector<uint8_t> a(static_cast<size_t>(large.bytes())), b(static_cast<size_t>(small.bytes()));
  large.Draw(view, a);
  small.Draw(view, b);
  for (size_t y = 0; y < 16; ++y) {
    for (size_t x = 0; x < 16; ++x) {
      for (size_t channel = 0; channel < 3; ++channel) {
        ASSERT_EQ(b[(y * 16 + x) * 3 + channel], a[(y * 4 * 64 + x * 4) * 3 + channel]);
      }
    }
  }
  std::set<std::vector<uint8_t>> sprites;
  for (size_t tile = 0; tile < kTiles; ++tile) {
    std::vector<uint8_t> sprite;
    for (size_t y = 0; y < 8; ++y) {
      const auto row = a.begin() + static_cast<ptrdiff_t>((y * 64 + tile * 8) * 3);
      sprite.insert(sprite.end(), row, row + 24);
    }
    sprites.insert(sprite);
  }
  EXPECT_EQ(sprites.size(), size_t{kTiles});
}

}  // namespace
}  // namespace allometry::strata
