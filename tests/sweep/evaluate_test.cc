// Sweeps that keep checkpoints and evaluate them.
#include <string>
#include <vector>

#include "coordinator/sweep/evaluate_run.h"
#include "gmock/gmock.h"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "tests/sweep/stored_sweep.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kEvaluated[] = R"(name: demo
dataset: walk
model: {frames: 2, sizes: [300k, 1M]}
training:
  batch_sequences: 16
  objective: observation
  warmup_steps: 10
  learning_rate: 3e-3
budgets: {tokens: [20k, 200k]}
evaluation: {keep: 3}
evaluate: {videos: 64, seed: 5}
)";

std::vector<int64_t> Steps(const google::protobuf::RepeatedField<int64_t>& steps) {
  return {steps.begin(), steps.end()};
}

TEST(EvaluateTest, EveryRunKeepsCheckpointsAndHasARunThatEvaluatesThem) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, ExpandText(kEvaluated, Walk()));
  ASSERT_EQ(expansion.runs.size(), 4u);
  for (size_t i = 0; i < 2; ++i) {
    const v1::Run& trained = expansion.runs[i];
    const v1::RunSpec& spec = trained.spec();
    EXPECT_TRUE(spec.keep_checkpoints());
    EXPECT_FALSE(IsTrunk(spec));
    ASSERT_EQ(spec.checkpoint_steps_size(), 3);
    EXPECT_EQ(*spec.checkpoint_steps().rbegin(), spec.steps());
    // Each has a held-out loss to compare with.
    for (const int64_t step : spec.checkpoint_steps()) {
      EXPECT_THAT(Steps(spec.evaluation_steps()), Contains(step));
    }
    const v1::Run& evaluates = expansion.runs[i + 2];
    EXPECT_EQ(evaluates.stage(), "evaluate");
    EXPECT_EQ(evaluates.size(), trained.size());
    EXPECT_EQ(evaluates.spec().kind(), "evaluate");
    EXPECT_NE(evaluates.key(), trained.key());
    ASSERT_NE(EvaluatedOf(evaluates.spec()), nullptr);
    EXPECT_EQ(EvaluatedOf(evaluates.spec())->run_key(), trained.key());
    EXPECT_THAT(Steps(evaluates.spec().evaluation_steps()),
                ElementsAreArray(Steps(spec.checkpoint_steps())));
    EXPECT_EQ(evaluates.spec().checkpoint_steps_size(), 0);
    EXPECT_EQ(evaluates.spec().identity().settings().at("evaluation.videos"), "64");
  }
  for (const v1::Cell& cell : expansion.cells) EXPECT_LE(cell.run_id(), 2);
}

TEST(EvaluateTest, KeysOfTheTrainedRunsDoNotChangeAndThoseOfEvaluationsGoWithTheirSettings) {
  ASSERT_OK_AND_ASSIGN(const Expansion with, ExpandText(kEvaluated, Walk()));
  ASSERT_OK_AND_ASSIGN(
      const Expansion without,
      ExpandText(
          SweepWith("evaluation: {keep: 3}\nevaluate: {videos: 64, seed: 5}\n", "", kEvaluated),
          Walk()));
  ASSERT_EQ(without.runs.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(with.runs[i].key(), without.runs[i].key());
  ASSERT_OK_AND_ASSIGN(const Expansion other,
                       ExpandText(SweepWith("videos: 64", "videos: 65", kEvaluated), Walk()));
  EXPECT_NE(other.runs[2].key(), with.runs[2].key());
  EXPECT_NE(with.runs[2].key(), with.runs[3].key());
}

TEST(EvaluateTest, KeptStepsAreEvenlySpacedEvaluationsWithTheLast) {
  v1::RunSpec spec;
  for (const int64_t step : {1, 2, 4, 8, 16, 32, 64}) spec.add_evaluation_steps(step);
  spec.set_steps(64);
  KeepCheckpoints(3, spec);
  EXPECT_THAT(Steps(spec.checkpoint_steps()), ElementsAre(2, 8, 64));
  KeepCheckpoints(1, spec);
  EXPECT_THAT(Steps(spec.checkpoint_steps()), ElementsAre(64));
  KeepCheckpoints(100, spec);
  EXPECT_THAT(Steps(spec.checkpoint_steps()), ElementsAre(1, 2, 4, 8, 16, 32, 64));
}

TEST(EvaluateTest, AFinishedRunIsEvaluatedWhereItHasCheckpoints) {
  const std::string plain =
      SweepWith("evaluation: {keep: 3}\nevaluate: {videos: 64, seed: 5}\n", "", kEvaluated);
  StoredSweep stored;
  ASSERT_OK_AND_ASSIGN(const Changes first, Submit(stored, plain, Walk()));
  Apply(first, stored);
  for (v1::Run& run : stored.runs) {
    run.set_state(v1::RUN_SUCCEEDED);
    run.set_step(run.spec().steps());
  }
  ASSERT_OK_AND_ASSIGN(const Changes changes, Submit(stored, kEvaluated, Walk()));
  EXPECT_THAT(changes.changed_runs, IsEmpty());
  ASSERT_EQ(changes.new_runs.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(Steps(changes.new_runs[i].spec().evaluation_steps()),
                ElementsAre(stored.runs[i].spec().steps()));
  }
  EXPECT_THAT(changes.lines, Contains(HasSubstr("adds evaluations of kept checkpoints: 2 runs")));
}

TEST(EvaluateTest, ALargerBudgetKeepsMoreAndEvaluatesThem) {
  StoredSweep stored;
  ASSERT_OK_AND_ASSIGN(const Changes first, Submit(stored, kEvaluated, Walk()));
  Apply(first, stored);
  ASSERT_OK_AND_ASSIGN(const Changes none, Submit(stored, kEvaluated, Walk()));
  EXPECT_TRUE(none.empty());
  for (v1::Run& run : stored.runs) {
    run.set_state(v1::RUN_SUCCEEDED);
    run.set_step(run.spec().steps());
  }
  ASSERT_OK_AND_ASSIGN(
      const Changes changes,
      Submit(stored, SweepWith("[20k, 200k]", "[20k, 200k, 800k]", kEvaluated), Walk()));
  ASSERT_EQ(changes.changed_runs.size(), 4u);
  EXPECT_TRUE(changes.new_runs.empty());
  for (const ChangedRun& changed : changes.changed_runs) {
    if (EvaluatedOf(changed.spec) == nullptr) continue;
    for (const ChangedRun& trained : changes.changed_runs) {
      if (trained.key != EvaluatedOf(changed.spec)->run_key()) continue;
      EXPECT_EQ(changed.spec.steps(), trained.spec.steps());
      EXPECT_THAT(Steps(changed.spec.evaluation_steps()),
                  ElementsAreArray(EvaluatedSteps(trained.spec)));
      EXPECT_GT(changed.spec.evaluation_steps_size(), 3);
    }
  }
  EXPECT_THAT(changes.lines, Contains(HasSubstr("changes the evaluation of 300k: checkpoints at")));
}

TEST(EvaluateTest, BranchesAreEvaluatedAndTrunksAreNot) {
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      ExpandText(SweepWith("warmup_steps: 10", "schedule: wsd\n  warmup_steps: 10", kEvaluated),
                 Walk()));
  ASSERT_EQ(expansion.runs.size(), 2u * 3u);  // the smaller budget ends within the warm-up
  for (const v1::Run& run : expansion.runs) {
    if (EvaluatedOf(run.spec()) != nullptr) {
      EXPECT_EQ(run.spec().identity().schedule(), "wsd");
      EXPECT_EQ(run.spec().inputs_size(), 1);
    } else {
      EXPECT_EQ(run.spec().keep_checkpoints(), run.spec().identity().schedule() == "wsd");
    }
  }
}

TEST(EvaluateTest, ModelsThatActPlayInTheirDatasetsWorldOrInAnother) {
  const std::string yaml = SweepWith(
      "observation", "action",
      SweepWith("videos: 64", "videos: 64, episodes: 32, environment: \"process:serve:pong\"",
                kEvaluated));
  const auto evaluation = [](const Expansion& expansion) {
    return ToIdentity(expansion.runs.back().spec().identity())->evaluation;
  };
  ASSERT_OK_AND_ASSIGN(const Expansion named, ExpandText(yaml, Walk()));
  EXPECT_EQ(evaluation(named).episodes, 32);
  EXPECT_EQ(evaluation(named).environment, "process:serve:pong");
  data::Manifest recorded = Walk();
  recorded.generator = "allo data strata:library=4,view=8,zo=64,frames=20";
  ASSERT_OK_AND_ASSIGN(
      const Expansion world,
      ExpandText(SweepWith(", environment: \"process:serve:pong\"", "", yaml), recorded));
  EXPECT_EQ(evaluation(world).environment, "strata:library=4,view=8,zo=64,frames=20");
  ASSERT_OK_AND_ASSIGN(
      const Expansion longer,
      ExpandText(SweepWith("videos: 64", "videos: 64, frames: 20", kEvaluated), Walk()));
  EXPECT_EQ(evaluation(longer).frames, 20);
  EXPECT_EQ(evaluation(longer).episodes, 0);
}

TEST(EvaluateTest, WhatCannotBeEvaluatedIsRefusedWithItsLine) {
  const auto fails = [](const std::string& yaml, const data::Manifest& manifest,
                        const std::string& message) {
    EXPECT_THAT(ExpandText(yaml, manifest),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  fails(SweepWith("videos: 64", "videos: 0", kEvaluated), Walk(), "videos");
  fails(SweepWith("keep: 3", "keep: none", kEvaluated), Walk(), "keep");
  fails(SweepWith("videos: 64", "clips: 64", kEvaluated), Walk(), "clips");
  fails(SweepWith("frames: 2", "frames: 1", kEvaluated), Walk(), "is one frame");
  fails(absl::StrCat(kEvaluated, "device: cuda\n"), Walk(), "evaluate: checkpoints are evaluated");
  fails(absl::StrCat(kSweep, "evaluate: {}\n"), Words(), "dataset words has no frames");
  fails(SweepWith("videos: 64", "episodes: 32", kEvaluated), Walk(),
        "episodes are played by models of objective action: training.objective is observation");
  const std::string acts = SweepWith("observation", "action", kEvaluated);
  fails(SweepWith("videos: 64", "episodes: 32", acts), Walk(), "environment is missing");
  fails(SweepWith("videos: 64", "episodes: 0", acts), Walk(), "episodes");
  fails(SweepWith("videos: 64", "episodes: 32, environment: \"atari:pong\"", acts), Walk(),
        "allowed are names that begin with");
  fails(SweepWith("videos: 64", "environment: \"process:serve\"", acts), Walk(),
        "environment is where episodes are played");
  fails(SweepWith("videos: 64", "episodes: 3, frames: 4, environment: \"process:serve\"", acts),
        Walk(), "frames are of videos");
  fails(SweepWith("videos: 64", "frames: 21", kEvaluated), Walk(),
        "frames is 21: allowed are at most the 20 of an episode of dataset walk");
  fails(SweepWith("videos: 64", "frames: 1", kEvaluated), Walk(), "frames");
  fails(SweepWith("learning_rate: 3e-3",
                  "learning_rate: {ladder: {rates: [1e-3, 2e-3, 4e-3], tune: {tokens: 10k}}}",
                  kEvaluated),
        Walk(), "a file with a ladder keeps no checkpoints");
  fails(SweepWith("{tokens: [20k, 200k]}", "{flops: [1e10, 1e11]}\nstopping: {frontier: true}",
                  kEvaluated),
        Walk(), "stopping decides later");
}

}  // namespace
}  // namespace allometry::sweep
