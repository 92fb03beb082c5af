// The section `imagine`: what it says, the runs that it makes, and what does not go with it.
#include <set>
#include <string>

#include "data/generated.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/run_conversion.h"
#include "tests/sweep/stored_sweep.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kFile[] = R"(name: dream
dataset: "strata:library=4,view=8,zo=16,frames=32,outcomes=1"
model:
  frames: 8
  positions: rotary
  shapes: [{layers: 1, heads: 1, width: 16}, {layers: 2, heads: 1, width: 32}]
training:
  objective: world
  batch_sequences: 8
  warmup_steps: 10
  learning_rate: 3e-3
  seeds: [1, 2]
budgets:
  tokens: [1M, 2M]
imagine:
  updates: 100
  teachers: [imagination, cloning, random]
  seeds: [5, 6]
  horizon: 4
  evaluations: 3
)";

absl::StatusOr<Expansion> ExpandGenerated(absl::string_view yaml) {
  const auto manifest =
      data::GeneratedManifest("strata:library=4,view=8,zo=16,frames=32,outcomes=1");
  return ExpandText(yaml, *manifest);
}
std::string MistakeOf(absl::string_view from, absl::string_view to) {
  const auto expansion = ExpandGenerated(SweepWith(from, to, kFile));
  return expansion.ok() ? "" : std::string(expansion.status().message());
}

TEST(ImagineTest, EveryTrainedModelGetsAPolicyOfEachTeacherAndSeed) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandGenerated(kFile));
  // Two sizes and two seeds, and of each three teachers with two seeds.
  ASSERT_EQ(expansion.runs.size(), 4u + 4 * 6);
  EXPECT_EQ(expansion.cells.size(), 8u);
  const v1::Run& model = expansion.runs[2];
  const v1::Run& policy = expansion.runs[4 + 2 * 6];
  EXPECT_EQ(policy.size(), "2x32 imagination");
  EXPECT_EQ(policy.stage(), "policy");
  EXPECT_EQ(policy.spec().kind(), "policy");
  EXPECT_EQ(policy.spec().steps(), 100);
  EXPECT_THAT(policy.spec().evaluation_steps(), ElementsAre(33, 66, 100));
  ASSERT_EQ(policy.spec().inputs_size(), 1);
  EXPECT_EQ(policy.spec().inputs(0).kind(), "model");
  EXPECT_EQ(policy.spec().inputs(0).run_key(), model.key());
  EXPECT_EQ(policy.spec().inputs(0).step(), model.spec().steps());
  EXPECT_GT(policy.flops_per_token_6n(), 0);
  ASSERT_OK_AND_ASSIGN(const run::Identity identity, ToIdentity(policy.spec().identity()));
  EXPECT_EQ(identity.policy.teacher, run::Teacher::kImagination);
  EXPECT_EQ(identity.policy.horizon, 4);
  EXPECT_EQ(identity.policy.model_key, model.key());
  EXPECT_EQ(identity.policy.model_step, model.spec().steps());
  EXPECT_EQ(identity.policy.environment,
            data::GeneratedManifest("strata:library=4,view=8,zo=16,frames=32,outcomes=1")->name);
  EXPECT_EQ(identity.shape.positions, run::Positions::kRotary);
  EXPECT_EQ(identity.seed, 5);
  EXPECT_EQ(identity.learning_rate, 5e-4);
  EXPECT_EQ(identity.warmup_steps, 0);
  // Random play has nothing to learn.
  EXPECT_EQ(expansion.runs[4 + 4].size(), "1x16 random");
  EXPECT_EQ(expansion.runs[4 + 4].spec().steps(), 1);
  std::set<std::string> keys;
  for (const v1::Run& run : expansion.runs) EXPECT_TRUE(keys.insert(run.key()).second);
}

TEST(ImagineTest, UpdatesMayDifferByTeacher) {
  const auto steps = [](const std::string& updates) {
    const auto expansion = ExpandGenerated(SweepWith("updates: 100", updates, kFile));
    EXPECT_OK(expansion.status());
    std::set<std::pair<std::string, int64_t>> all;
    for (const v1::Run& run : expansion->runs) {
      if (run.stage() == "policy") all.insert({run.size(), run.spec().steps()});
    }
    return all;
  };
  const auto by_teacher = steps("updates: {imagination: 100, cloning: 700}");
  EXPECT_EQ(by_teacher.count({"2x32 imagination", 100}), 1u);
  EXPECT_EQ(by_teacher.count({"2x32 cloning", 700}), 1u);
  EXPECT_EQ(by_teacher.count({"2x32 random", 1}), 1u);
  EXPECT_EQ(by_teacher.size(), 6u);
  EXPECT_THAT(MistakeOf("updates: 100", "updates: {imagination: 100}"),
              HasSubstr("updates has no value for teacher cloning"));
  EXPECT_THAT(MistakeOf("updates: 100", "updates: {imagination: 1, cloning: 1, real: 5}"),
              HasSubstr("updates has a value for real"));
  EXPECT_THAT(MistakeOf("updates: 100", "updates: {imagination: 1, cloning: 1, random: 5}"),
              HasSubstr("updates has a value for random"));
  EXPECT_THAT(MistakeOf("updates: 100", "updates: {imagination: 0, cloning: 1}"), HasSubstr("0"));
}

TEST(ImagineTest, MoreUpdatesContinueThePolicies) {
  const auto manifest =
      data::GeneratedManifest("strata:library=4,view=8,zo=16,frames=32,outcomes=1");
  StoredSweep stored;
  ASSERT_OK_AND_ASSIGN(const Changes first, Submit(stored, kFile, *manifest));
  Apply(first, stored);
  for (v1::Run& run : stored.runs) {
    run.set_state(v1::RUN_SUCCEEDED);
    run.set_step(run.spec().steps());
  }
  ASSERT_OK_AND_ASSIGN(
      const Changes more,
      Submit(stored, SweepWith("updates: 100", "updates: {imagination: 100, cloning: 110}", kFile),
             *manifest));
  EXPECT_THAT(more.new_runs, ::testing::IsEmpty());
  ASSERT_EQ(more.changed_runs.size(), 8u);  // the clones: two sizes, two models' seeds, two seeds
  for (const ChangedRun& changed : more.changed_runs) {
    EXPECT_EQ(changed.spec.steps(), 110);
    EXPECT_TRUE(changed.raised);
    // 36 and 73 of the new ones lie behind it.
    EXPECT_THAT(changed.spec.evaluation_steps(), ElementsAre(33, 66, 100, 110));
  }
  EXPECT_THAT(more.lines, ::testing::Contains(HasSubstr("from update 100 to 110")));
  ASSERT_OK_AND_ASSIGN(const Changes fewer,
                       Submit(stored, SweepWith("updates: 100", "updates: 50", kFile), *manifest));
  EXPECT_THAT(fewer.changed_runs, ::testing::IsEmpty());
}

TEST(ImagineTest, SeedsOfTheModelsGiveOnePolicyAModel) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion,
                       ExpandGenerated(SweepWith("seeds: [5, 6]", "seeds: model", kFile)));
  ASSERT_EQ(expansion.runs.size(), 4u + 4 * 3);
  for (size_t i = 0; i < 12; ++i) {
    const v1::Run& model = expansion.runs[i / 3];
    const v1::Run& policy = expansion.runs[4 + i];
    EXPECT_EQ(policy.spec().inputs(0).run_key(), model.key());
    EXPECT_EQ(policy.spec().identity().seed(), model.spec().identity().seed());
  }
}

TEST(ImagineTest, TheGridIsTheSameWithAndWithoutIt) {
  ASSERT_OK_AND_ASSIGN(const Expansion with, ExpandGenerated(kFile));
  const std::string text(kFile);
  ASSERT_OK_AND_ASSIGN(const Expansion without,
                       ExpandGenerated(text.substr(0, text.find("imagine:"))));
  ASSERT_EQ(without.runs.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(with.runs[i], without.runs[i]))
        << with.runs[i].DebugString() << without.runs[i].DebugString();
  }
}

TEST(ImagineTest, WhatDoesNotFitIsSaidWithItsPlace) {
  EXPECT_THAT(MistakeOf("  updates: 100\n", ""), HasSubstr("updates is missing"));
  EXPECT_THAT(MistakeOf("[imagination, cloning, random]", "[imagination, magic]"),
              HasSubstr("teachers 'magic': allowed are imagination, real, cloning, random"));
  EXPECT_THAT(MistakeOf("seeds: [5, 6]", "seeds: [5, 5]"), HasSubstr("seed 5 is given twice"));
  EXPECT_THAT(MistakeOf("seeds: [5, 6]", "seeds: models"), HasSubstr("seeds"));
  EXPECT_THAT(MistakeOf("seeds: [5, 6]", "seeds: []"), HasSubstr("seeds"));
  EXPECT_THAT(MistakeOf("horizon: 4", "horizon: 7"),
              HasSubstr("burn 2 and horizon 7 are more than the 8 frames of the models' window"));
  EXPECT_THAT(MistakeOf("horizon: 4", "horizont: 4"), HasSubstr("horizon"));
  EXPECT_THAT(MistakeOf("objective: world", "objective: observation"),
              HasSubstr("training.objective is observation: a policy needs models of objective "
                        "world"));
  EXPECT_THAT(MistakeOf("horizon: 4", "environment: \"atari:pong\""),
              HasSubstr("allowed are names that begin with strata: or "));
  EXPECT_THAT(MistakeOf("horizon: 4", "discount: 1.5"), HasSubstr("discount"));
}

TEST(ImagineTest, ADatasetThatIsNotStrataNeedsAnEnvironment) {
  data::Manifest manifest =
      *data::GeneratedManifest("strata:library=4,view=8,zo=16,frames=32,outcomes=1");
  manifest.name = "recorded";
  manifest.kind = data::DatasetKind::kTrajectories;
  manifest.generator = "by hand";
  manifest.unique_tokens = 18 * 32 * 1000;
  manifest.heldout_tokens = 18 * 32 * 100;
  manifest.documents = 1100;
  const std::string yaml =
      SweepWith("\"strata:library=4,view=8,zo=16,frames=32,outcomes=1\"", "recorded", kFile);
  const auto refused = ExpandText(yaml, manifest);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("environment is missing"), HasSubstr("process:PROGRAM:GAME")));
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      ExpandText(SweepWith("  horizon: 4", "  environment: \"process:serve:pong\"", yaml),
                 manifest));
  ASSERT_OK_AND_ASSIGN(const run::Identity identity,
                       ToIdentity(expansion.runs.back().spec().identity()));
  EXPECT_EQ(identity.policy.environment, "process:serve:pong");
}

}  // namespace
}  // namespace allometry::sweep
