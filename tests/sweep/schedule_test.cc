// Schedules that end: what wsd and cosine make of a sweep.
#include "coordinator/sweep/schedule.h"

#include <set>
#include <string>
#include <vector>

#include "coordinator/sweep/sweep_reader.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// kOneShape under a schedule: cells at steps 24 and 244.
std::string Scheduled(absl::string_view keys) {
  return SweepWith("  warmup_steps: 10\n", absl::StrCat("  warmup_steps: 10\n  ", keys, "\n"),
                   kOneShape);
}

std::vector<int64_t> Evaluations(const v1::Run& run) {
  return {run.spec().evaluation_steps().begin(), run.spec().evaluation_steps().end()};
}

TEST(ScheduleTest, DefaultsDependOnTheSchedule) {
  ASSERT_OK_AND_ASSIGN(const SweepFile wsd, ParseSweepFile(Scheduled("schedule: wsd"), "a.yaml"));
  EXPECT_EQ(wsd.schedule.kind, run::Schedule::kWsd);
  EXPECT_EQ(wsd.schedule.decay_fraction, 0.2);
  EXPECT_EQ(wsd.schedule.final_rate_fraction, 0);
  ASSERT_OK_AND_ASSIGN(const SweepFile cosine,
                       ParseSweepFile(Scheduled("schedule: cosine"), "a.yaml"));
  EXPECT_EQ(cosine.schedule.final_rate_fraction, 0.1);
  ASSERT_OK_AND_ASSIGN(const SweepFile constant, ParseSweepFile(kOneShape, "a.yaml"));
  EXPECT_EQ(constant.schedule.kind, run::Schedule::kConstant);
  EXPECT_EQ(constant.schedule.final_rate_fraction, 0);
}

TEST(ScheduleTest, KeysThatTheScheduleDoesNotReadAreMistakes) {
  const auto mistake = [](absl::string_view keys, absl::string_view message) {
    EXPECT_THAT(ParseSweepFile(Scheduled(keys), "a.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, std::string(message)));
  };
  mistake("decay_fraction: 0.1",
          "a.yaml:9: decay_fraction beside schedule constant, which does not read it: it is "
          "allowed with wsd");
  mistake("schedule: cosine\n  decay_fraction: 0.1",
          "a.yaml:10: decay_fraction beside schedule cosine, which does not read it: it is allowed "
          "with wsd");
  mistake("final_rate_fraction: 0.1",
          "a.yaml:9: final_rate_fraction beside schedule constant, which does not read it: it is "
          "allowed with wsd and cosine");
  mistake("schedule: wsd\n  decay_fraction: 1",
          "a.yaml:10: decay_fraction 1 is out of range: allowed is above 0 to below 1");
  mistake("schedule: cosine\n  final_rate_fraction: 1",
          "a.yaml:10: final_rate_fraction 1 is out of range: allowed is from 0 to below 1");
  mistake("schedule: wds",
          "a.yaml:9: schedule wds is not known: allowed are constant, wsd, cosine");
}

TEST(ScheduleTest, DecayBeginsAtAWholeStepAndTakesAtLeastOne) {
  const ScheduleChoice wsd{run::Schedule::kWsd, 0.2, 0};
  EXPECT_EQ(DecayBegin(wsd, 10, 244), 195);  // 48.8 is 49 steps
  EXPECT_EQ(DecayBegin(wsd, 10, 24), 19);
  EXPECT_EQ(DecayBegin(wsd, 0, 2), 1);
  EXPECT_EQ(DecayBegin({run::Schedule::kCosine, 0.2, 0.1}, 10, 244), 10);
  EXPECT_EQ(DecayBegin({run::Schedule::kConstant, 0.2, 0}, 10, 244), std::nullopt);
}

TEST(ScheduleTest, WsdIsATrunkWithTheConstantRunsKeyAndABranchForEachCell) {
  ASSERT_OK_AND_ASSIGN(const Expansion constant, ExpandText(kOneShape));
  ASSERT_OK_AND_ASSIGN(const Expansion wsd, ExpandText(Scheduled("schedule: wsd")));
  ASSERT_EQ(wsd.runs.size(), 3u);
  ASSERT_EQ(wsd.cells.size(), 2u);
  const v1::Run& trunk = wsd.runs[0];
  EXPECT_EQ(trunk.key(), constant.runs[0].key());
  EXPECT_TRUE(IsTrunk(trunk.spec()));
  EXPECT_EQ(trunk.spec().steps(), 195);
  EXPECT_THAT(trunk.spec().checkpoint_steps(), ElementsAre(19, 195));
  EXPECT_EQ(Evaluations(trunk).front(), 11);
  EXPECT_EQ(Evaluations(trunk).back(), 178);  // round(10^(45/20)); no cell ends on it

  std::set<std::string> keys = {trunk.key()};
  for (int i : {1, 2}) {
    const v1::Run& branch = wsd.runs[i];
    const v1::RunIdentity& identity = branch.spec().identity();
    EXPECT_FALSE(IsTrunk(branch.spec()));
    EXPECT_TRUE(keys.insert(branch.key()).second);
    EXPECT_EQ(branch.key(), RunKey(identity));
    EXPECT_EQ(identity.schedule(), "wsd");
    EXPECT_EQ(identity.decay_begin(), i == 1 ? 19 : 195);
    EXPECT_EQ(identity.decay_end(), i == 1 ? 24 : 244);
    EXPECT_EQ(branch.spec().steps(), identity.decay_end());
    ASSERT_NE(TrunkOf(branch.spec()), nullptr);
    EXPECT_EQ(TrunkOf(branch.spec())->run_key(), trunk.key());
    EXPECT_EQ(TrunkOf(branch.spec())->step(), identity.decay_begin());
    EXPECT_EQ(wsd.cells[i - 1].run_id(), branch.run_id());
    EXPECT_EQ(wsd.cells[i - 1].step(), identity.decay_end());
    EXPECT_EQ(wsd.cells[i - 1].tokens(), constant.cells[i - 1].tokens());
  }
  // While the rate falls: round(10^(26/20)) = 20, 10^(27/20) = 22; 10^(46/20) = 200, 224.
  EXPECT_THAT(Evaluations(wsd.runs[1]), ElementsAre(20, 22, 24));
  EXPECT_THAT(Evaluations(wsd.runs[2]), ElementsAre(200, 224, 244));
  EXPECT_EQ(wsd.sweep.runs(), 3);
}

TEST(ScheduleTest, CosineIsARunForEachCell) {
  ASSERT_OK_AND_ASSIGN(const Expansion cosine,
                       ExpandText(Scheduled("schedule: cosine\n  final_rate_fraction: 0.05")));
  ASSERT_EQ(cosine.runs.size(), 2u);
  for (int i : {0, 1}) {
    const v1::RunIdentity& identity = cosine.runs[i].spec().identity();
    EXPECT_EQ(identity.schedule(), "cosine");
    EXPECT_EQ(identity.decay_begin(), 10);
    EXPECT_EQ(identity.decay_end(), i == 0 ? 24 : 244);
    EXPECT_EQ(identity.final_rate_fraction(), 0.05);
    EXPECT_THAT(cosine.runs[i].spec().inputs(), IsEmpty());
    EXPECT_FALSE(IsTrunk(cosine.runs[i].spec()));
  }
  EXPECT_NE(cosine.runs[0].key(), cosine.runs[1].key());
}

TEST(ScheduleTest, EverySizeAndSeedHasItsOwnTrunk) {
  ASSERT_OK_AND_ASSIGN(const Expansion wsd,
                       ExpandText(SweepWith("seeds: [1]", "seeds: [1, 2]\n  schedule: wsd")));
  std::set<std::string> trunks;
  for (const v1::Run& run : wsd.runs) {
    if (IsTrunk(run.spec())) trunks.insert(run.key());
  }
  EXPECT_EQ(trunks.size(), 6u);
  for (const v1::Run& run : wsd.runs) {
    if (const v1::RunInput* input = TrunkOf(run.spec())) {
      EXPECT_EQ(trunks.count(input->run_key()), 1u);
    }
  }
}

TEST(ScheduleTest, ACellWhoseDecayWouldBeginWithinTheWarmUpIsLeftOut) {
  ASSERT_OK_AND_ASSIGN(const Expansion wsd,
                       ExpandText(Scheduled("schedule: wsd\n  decay_fraction: 0.6")));
  EXPECT_EQ(wsd.cells.size(), 2u);  // 24 steps: from 10 on
  ASSERT_OK_AND_ASSIGN(const Expansion more,
                       ExpandText(Scheduled("schedule: wsd\n  decay_fraction: 0.65")));
  EXPECT_EQ(more.cells.size(), 1u);
  EXPECT_THAT(more.sweep.left_out(0),
              HasSubstr("24 steps, and its decay would begin at step 8, within the warm-up of 10"));
}

TEST(ScheduleTest, CountsOfRunsIncludeTrunksAndBranches) {
  std::string budgets = "tokens: [";
  for (int i = 1; i <= 500; ++i) absl::StrAppend(&budgets, i > 1 ? ", " : "", i, "M");
  std::string seeds = "seeds: [";
  for (int i = 1; i <= 21; ++i) absl::StrAppend(&seeds, i > 1 ? ", " : "", i);
  const std::string many = SweepWith("tokens: [100_000, 1M]", budgets + "]",
                                     Scheduled(absl::StrCat(seeds, "]\n  schedule: wsd")));
  EXPECT_THAT(ParseSweepFile(many, "a.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 sizes x 21 seeds x 500 budgets are 10521 runs and 10500")));
}

}  // namespace
}  // namespace allometry::sweep
