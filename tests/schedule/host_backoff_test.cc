#include "coordinator/schedule/host_backoff.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::schedule {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000;

ChargedEnd Failed(const std::string& host, int64_t run_id, int64_t started_s, int64_t ended_s) {
  return {host, run_id, v1::BUG, "libx.so: cannot open", started_s * kSecond, ended_s * kSecond};
}

TEST(HostRestTest, WithoutAnEndNobodyRests) { EXPECT_THAT(HostsToBackOff({}), IsEmpty()); }

TEST(HostRestTest, EachRoundRestsTwiceAsLongUpToTheLongest) {
  std::vector<ChargedEnd> ends;
  int64_t longest = 0;
  for (int round = 1; round <= 20; ++round) {
    ends.push_back(Failed("a", round % 3, 1000 * round, 1000 * round + 1));
    const HostBackoff rest = HostsToBackOff(ends).at("a");
    EXPECT_EQ(rest.rounds, round);
    EXPECT_EQ(rest.ended_us, (1000 * round + 1) * kSecond);
    EXPECT_EQ(rest.backoff_us, std::min<int64_t>(300, int64_t{1} << (round - 1)) * kSecond);
    longest = std::max(longest, rest.backoff_us);
  }
  EXPECT_EQ(longest, 300 * kSecond);
}

TEST(HostRestTest, WhatWasStartedBeforeTheFirstEndIsOneRound) {
  // Sixteen slots fail together; then one is tried.
  std::vector<ChargedEnd> ends;
  for (int run = 1; run <= 16; ++run) ends.push_back(Failed("a", run, 10, 11 + run));
  EXPECT_EQ(HostsToBackOff(ends).at("a").rounds, 1);
  EXPECT_EQ(HostsToBackOff(ends).at("a").ended_us, 27 * kSecond);
  ends.push_back(Failed("a", 3, 30, 31));
  EXPECT_EQ(HostsToBackOff(ends).at("a").rounds, 2);
}

TEST(HostRestTest, TheReasonHoldsTheLastEndsMessage) {
  std::vector<ChargedEnd> ends = {Failed("a", 7, 1, 2)};
  EXPECT_EQ(HostsToBackOff(ends).at("a").reason,
            "run 7 failed there before it got going: BUG: libx.so: cannot open");
  ends.push_back(Failed("a", 8, 5, 6));
  ends.back().reason = v1::KILLED;
  ends.back().message = "";
  EXPECT_EQ(HostsToBackOff(ends).at("a").reason,
            "2 runs failed there before they got going, the last with KILLED");
}

TEST(HostRestTest, HostsAreJudgedAlone) {
  const auto rests =
      HostsToBackOff({Failed("b", 1, 1, 2), Failed("a", 1, 3, 4), Failed("b", 2, 5, 6)});
  ASSERT_THAT(rests, SizeIs(2));
  EXPECT_EQ(rests.at("a").rounds, 1);
  EXPECT_EQ(rests.at("b").rounds, 2);
}

}  // namespace
}  // namespace allometry::schedule
