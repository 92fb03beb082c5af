#include "data/strata/spec.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::strata {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

auto Refused(const std::string& a, const std::string& b) {
  return StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(a), HasSubstr(b)));
}

TEST(StrataSpecTest, EveryKeyReadsBackAndOrderDoesNotMatter) {
  ASSERT_OK_AND_ASSIGN(
      const Spec spec,
      ParseSpec("strata:zo=16,view=8,universe=7,library=1000000,alpha=0.5,movers=0.125,noise=0.75,"
                "share=0.25,policy=expert,frames=10,pixels=32,seed=3"));
  EXPECT_EQ(SpecText(spec),
            "strata:universe=7,library=1000000,alpha=0.5,movers=0.125,noise=0.75,share=0.25,"
            "policy=expert,view=8,zo=16,frames=10,pixels=32,seed=3");
  ASSERT_OK_AND_ASSIGN(const Spec again, ParseSpec(SpecText(spec)));
  EXPECT_EQ(SpecText(again), SpecText(spec));
}

TEST(StrataSpecTest, WhatIsLeftOutHasItsDefault) {
  ASSERT_OK_AND_ASSIGN(const Spec spec, ParseSpec("strata"));
  EXPECT_EQ(SpecText(spec), SpecText(Spec()));
  ASSERT_OK_AND_ASSIGN(const Spec noisy, ParseSpec("strata:regime=noisy"));
  EXPECT_EQ(noisy.noise, 1);
  EXPECT_EQ(noisy.library, 1024);
}

TEST(StrataSpecTest, SeveralUniversesAreSaidWhereThereAreSeveral) {
  ASSERT_OK_AND_ASSIGN(const Spec spec, ParseSpec("strata:universes=4,universe=3"));
  EXPECT_EQ(SpecText(spec).substr(0, 29), "strata:universe=3,universes=4");
  EXPECT_EQ(SpecText(*ParseSpec(SpecText(spec))), SpecText(spec));
  EXPECT_EQ(SpecText(*ParseSpec("strata:universes=1")), SpecText(Spec()));
  EXPECT_THAT(ParseSpec("strata:universes=65"), Refused("universes=65", "1 to 64"));
}

TEST(StrataSpecTest, MistakesNameTheKeyAndWhatIsAllowed) {
  EXPECT_THAT(ParseSpec("atari:game=pong"), Refused("'atari:game=pong'", "strata:KEY=VALUE"));
  EXPECT_THAT(ParseSpec("strata:univers=7"),
              Refused("univers is not a key", "universe, universes, regime"));
  EXPECT_THAT(ParseSpec("strata:universe"), Refused("'universe'", "KEY=VALUE"));
  EXPECT_THAT(ParseSpec("strata:library=0"), Refused("library=0", "1 to 1048576"));
  EXPECT_THAT(ParseSpec("strata:library=4x"), Refused("library=4x", "1 to 1048576"));
  EXPECT_THAT(ParseSpec("strata:noise=1.5"), Refused("noise=1.5", "0 to 1"));
  EXPECT_THAT(ParseSpec("strata:alpha=nan"), Refused("alpha=nan", "more than 0"));
  EXPECT_THAT(ParseSpec("strata:zo=36"), Refused("zo=36", "256, 64 and 16"));
  EXPECT_THAT(ParseSpec("strata:view=12"), Refused("view=12", "8 and 16"));
  EXPECT_THAT(ParseSpec("strata:pixels=100"), Refused("pixels=100", "32, 64 and 128"));
  EXPECT_THAT(ParseSpec("strata:policy=best"),
              Refused("policy=best", "expert, random, half, mix3"));
  EXPECT_THAT(ParseSpec("strata:regime=calm"), Refused("regime=calm", "rich, noisy, small"));
  EXPECT_THAT(ParseSpec("strata:seed=1,seed=2"), Refused("seed=2", "twice"));
}

}  // namespace
}  // namespace allometry::strata
