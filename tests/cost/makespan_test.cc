#include "coordinator/cost/makespan.h"

#include "gtest/gtest.h"

namespace allometry::cost {
namespace {

constexpr auto kCpu = run::DeviceKind::kCpu, kCuda = run::DeviceKind::kCuda;

const std::vector<WorkerSlots> kTwoSlots = {{"host-a", kCpu, 2, 0}};

RunToPlace OneRank(double seconds) { return {1, kCpu, seconds, -1, 0}; }
RunToPlace Gang(int ranks, double seconds) { return {ranks, kCpu, seconds, -1, 0}; }

TEST(MakespanTest, NothingTakesNoTime) { EXPECT_EQ(Makespan({}, kTwoSlots), 0); }

TEST(MakespanTest, LongestGoesFirstHoweverTheyAreListed) {
  // 4 | 3 then 1: not 1 | 3 then 4.
  EXPECT_EQ(Makespan({OneRank(1), OneRank(3), OneRank(4)}, kTwoSlots), 4);
}

TEST(MakespanTest, OfSimilarWorkTheWideGoFirst) {
  // Work 4 and 5 are of one octave. The gang first: 2, then 5 and 5 side by side.
  EXPECT_EQ(Makespan({OneRank(5), OneRank(5), Gang(2, 2)}, kTwoSlots), 7);
}

TEST(MakespanTest, TuningRunsGoFirst) {
  // 1 and 8, then 8 in place of the 1, then at 8 the branch of 3. The longest first: 8 and 8, then
  // the 1, and its branch only after that.
  const RunToPlace tuning = {1, kCpu, 1, -1, 0, -1, true};
  RunToPlace plain = tuning;
  plain.ahead = false;
  const RunToPlace branch = {1, kCpu, 3, 0, 1};
  EXPECT_EQ(Makespan({tuning, OneRank(8), OneRank(8), branch}, kTwoSlots), 11);
  EXPECT_EQ(Makespan({plain, OneRank(8), OneRank(8), branch}, kTwoSlots), 12);
}

TEST(MakespanTest, ARunGoesWithWhatWaitsForIt) {
  // The trunk of 1 and its branch of 9 are the longest way: they end at 10 and the others beside
  // them. With the trunk as the shortest run it would begin at 4.
  const RunToPlace branch = {1, kCpu, 9, 2, 1};
  EXPECT_EQ(Makespan({OneRank(4), OneRank(4), OneRank(1), branch}, kTwoSlots), 10);
}

TEST(MakespanTest, ARunWaitsForADeviceWithItsMemory) {
  const std::vector<WorkerSlots> unlike = {{"host-a", kCpu, 1, 1e9}, {"host-b", kCpu, 1, 4e9}};
  RunToPlace large = OneRank(5);
  large.memory_bytes = 2e9;
  EXPECT_EQ(Makespan({large, large, OneRank(1)}, unlike), 10);
  EXPECT_EQ(Makespan({OneRank(5), OneRank(5), OneRank(1)}, unlike), 6);
}

TEST(MakespanTest, MuchWorkGoesBeforeWidth) {
  // Three slots. Work 8 and 9 of one octave begin, the second gang, of work 6, follows at 4. With
  // gangs first it would hold the third slot until then, and 9 would end at 13.
  const std::vector<WorkerSlots> three = {{"host-a", kCpu, 3, 0}};
  EXPECT_EQ(Makespan({Gang(2, 4), Gang(2, 3), OneRank(9)}, three), 9);
}

TEST(MakespanTest, WhatMayEndLastGoesFirst) {
  // Three slots. The open work takes (2 x 16 + 15) / 3 = 15.7, and 15 is more than 2/3 of it: it
  // begins beside the first gang. 8.1 is not: the second gang, of more work, holds the third slot.
  const std::vector<WorkerSlots> three = {{"host-a", kCpu, 3, 0}};
  EXPECT_EQ(Makespan({OneRank(15), Gang(2, 8), Gang(2, 8)}, three), 16);
  EXPECT_DOUBLE_EQ(*Makespan({OneRank(8.1), Gang(2, 8), Gang(2, 8)}, three), 16.1);
}

TEST(MakespanTest, GangDoesNotSpanTwoWorkers) {
  const std::vector<WorkerSlots> apart = {{"host-a", kCpu, 1, 0}, {"host-b", kCpu, 1, 0}};
  EXPECT_EQ(Makespan({OneRank(1)}, apart), 1);
  EXPECT_EQ(Makespan({Gang(2, 1)}, apart), std::nullopt);
}

TEST(MakespanTest, RunWaitsForADeviceOfItsKind) {
  EXPECT_EQ(Makespan({{1, kCuda, 1, -1, 0}}, kTwoSlots), std::nullopt);
  EXPECT_EQ(Makespan({{1, kCuda, 1, -1, 0}, OneRank(2)},
                     {{"host-a", kCuda, 1, 0}, {"host-a", kCpu, 1, 0}}),
            2);
}

TEST(MakespanTest, SlotsOfTheNextGangAreLentOnlyToWhatEndsBefore) {
  // Three slots: a gang of 2 for 4 s, one slot left. The next gang waits until 4; a run of 3 s fits
  // before, one of 4.4 s does not and follows.
  const std::vector<WorkerSlots> three = {{"host-a", kCpu, 3, 0}};
  EXPECT_EQ(Makespan({Gang(2, 4), Gang(2, 3), OneRank(3)}, three), 7);
  EXPECT_DOUBLE_EQ(*Makespan({Gang(2, 4), Gang(2, 3.9), OneRank(4.4)}, three), 8.4);
}

TEST(MakespanTest, BranchStartsWhenItsTrunksCheckpointIsThere) {
  // The trunk takes 10, its checkpoint is there at 6, the branch takes 3.
  EXPECT_EQ(Makespan({OneRank(10), {1, kCpu, 3, 0, 6}}, kTwoSlots), 10);
  EXPECT_EQ(Makespan({OneRank(10), {1, kCpu, 5, 0, 6}}, kTwoSlots), 11);
  const std::vector<WorkerSlots> one = {{"host-a", kCpu, 1, 0}};
  EXPECT_EQ(Makespan({OneRank(10), {1, kCpu, 5, 0, 6}}, one), 15);
}

TEST(MakespanTest, RunAfterOneThatCannotStartNeverStarts) {
  EXPECT_EQ(Makespan({Gang(3, 1), {1, kCpu, 1, 0, 1}}, kTwoSlots), std::nullopt);
}

}  // namespace
}  // namespace allometry::cost
