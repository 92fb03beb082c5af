// Evaluations of checkpoints through the real trainer.
#include <cmath>

#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

// Four frames of 16 block tokens and an action.
constexpr char kWorld[] = "strata:universe=7,library=4,view=8,zo=16,frames=8";

class EvaluationTest : public TrainerTest {
 protected:
  EvaluationTest() {
    spec_.identity.dataset = kWorld;
    spec_.identity.dataset_hash = "";
    spec_.identity.shape = {"gpt", 1, 2, 32, 4 * 17, 4096 + 9};
    spec_.identity.batch_tokens = 8 * 4 * 17;
    spec_.identity.objective = "observation";
    spec_.identity.warmup_steps = 10;
    spec_.identity.learning_rate = 1e-2;
    spec_.evaluation_windows = 32;
    spec_.checkpoint_every_s = 1000;
    spec_.steps = 150;
    spec_.evaluation_steps = {5, 40, 150};
    spec_.checkpoint_steps = {5, 40, 150};
    spec_.keep_checkpoints = true;
  }
  // Trains run 1; spec_ is then that of run 2, which evaluates it.
  void Train() {
    const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
    spool.MergeInto(&trained_, spec_.steps);
    checkpoints_ = spool.All<run::CheckpointRecord>();
    ASSERT_EQ(checkpoints_.size(), 3u);
    spec_.kind = run::RunKind::kEvaluate;
    spec_.identity.evaluation.videos = 48;
    spec_.identity.evaluation.seed = 3;
    spec_.checkpoint_steps.clear();
    spec_.keep_checkpoints = false;
    Evaluate({5, 40, 150});
  }
  void Evaluate(const std::vector<int64_t>& steps) {
    spec_.evaluation_steps = steps;
    spec_.inputs.clear();
    for (const run::CheckpointRecord& checkpoint : checkpoints_) {
      if (std::count(steps.begin(), steps.end(), checkpoint.step) == 0) continue;
      run::RunInput input;
      input.kind = run::InputKind::kCheckpoint;
      input.run_id = 1;
      input.file = checkpoint.file;
      input.hash = checkpoint.hash;
      input.step = checkpoint.step;
      spec_.inputs.push_back(input);
    }
  }
  SpoolContents RunAs(int id, ExitReason reason = ExitReason::kSucceeded) {
    run_dir_ = folder_.Path(absl::StrCat("run-", id));
    return RunToEnd(spec_, reason);
  }

  void ExpectTheHeldoutLossOfTraining() {
    spec_.evaluation_windows = 96;
    Train();
    Curve evaluated;
    RunAs(2).MergeInto(&evaluated, 150);
    // On every other window alone, whose mean is another one by .08. Outcomes counted along would
    // be .5 more at step 5.
    for (const int64_t step : {5, 40, 150}) {
      EXPECT_NEAR(evaluated.at({"heldout", step}).value(), trained_.at({"heldout", step}).value(),
                  0.15)
          << step;
    }
  }

  std::vector<run::CheckpointRecord> checkpoints_;
  Curve trained_;  // of run 1
};

TEST_F(EvaluationTest, QualityFollowsTheLossAndTheLossIsLast) {
  Train();
  const SpoolContents spool = RunAs(2);
  Curve curve;
  spool.MergeInto(&curve, 150);
  const auto value = [&](const char* series, int64_t step) {
    return curve.at({series, step}).value();
  };
  for (const int64_t step : {5, 40, 150}) {
    for (const char* series : {"token_accuracy_h1", "token_accuracy_h3", "cell_error_h1",
                               "cell_error_h3", "frechet_inverse", "frechet_inverse_floor"}) {
      EXPECT_THAT(curve, Contains(Key(std::pair(std::string(series), step)))) << series;
    }
    // 48 clips are too few for a covariance, 144 transitions are not.
    EXPECT_THAT(curve, Not(Contains(Key(std::pair(std::string("frechet_random"), step)))));
  }
  EXPECT_LT(value("heldout", 150), value("heldout", 5) - 1);
  EXPECT_GT(value("token_accuracy_h1", 150), value("token_accuracy_h1", 5));
  EXPECT_LT(value("cell_error_h1", 150), value("cell_error_h1", 5));
  EXPECT_LT(value("frechet_inverse", 150), value("frechet_inverse", 5));
  EXPECT_EQ(spool.All<run::Point>().back().series, "heldout");
  EXPECT_TRUE(spool.All<run::CheckpointRecord>().empty());
}

TEST_F(EvaluationTest, TheHeldoutLossIsThatOfTraining) { ExpectTheHeldoutLossOfTraining(); }

// Outcomes have losses too, which are no part of it.
TEST_F(EvaluationTest, TheHeldoutLossOfAWorldIsThatOfItsObservations) {
  spec_.identity.dataset = absl::StrCat(kWorld, ",outcomes=1");
  spec_.identity.shape = {"gpt", 1, 2, 32, 4 * 18, 4096 + 9 + 6};
  spec_.identity.batch_tokens = 8 * 4 * 18;
  spec_.identity.objective = "world";
  ExpectTheHeldoutLossOfTraining();
}

// A window of four frames of eight: the model sees the last four.
TEST_F(EvaluationTest, VideosMayBeLongerThanTheModelsWindow) {
  Train();
  Curve shorter, longer;
  RunAs(2).MergeInto(&shorter, 150);
  spec_.identity.evaluation.frames = 8;
  RunAs(3).MergeInto(&longer, 150);
  for (const int64_t step : {5, 40, 150}) {
    EXPECT_THAT(longer, Contains(Key(std::pair(std::string("cell_error_h7"), step))));
    // Generated windows begin episodes, so the first frames are the same.
    for (const char* series : {"token_accuracy_h1", "token_accuracy_h3", "heldout"}) {
      EXPECT_EQ(longer.at({series, step}), shorter.at({series, step})) << series;
    }
    EXPECT_GE(longer.at({"cell_error_h7", step}).value(),
              longer.at({"cell_error_h1", step}).value() - 0.05);
  }
}

// Band 39 in small: clones of the expert play the better the lower their loss, over episodes of
// more frames than they see at once.
TEST_F(EvaluationTest, ClonesOfTheExpertPlayInTheRealWorld) {
  for (const bool outcomes : {false, true}) {
    const int frame = outcomes ? 18 : 17;
    const std::string world =
        absl::StrCat("strata:library=4,movers=0,policy=expert,view=8,zo=16,frames=8",
                     outcomes ? ",outcomes=1" : "");
    spec_ = run::RunSpec();
    spec_.identity.dataset = world;
    spec_.identity.shape = {"gpt", 1, 2, 32, 3 * frame, 4096 + 8 + (outcomes ? 6 : 0)};
    spec_.identity.batch_tokens = 16 * 3 * frame;
    spec_.identity.objective = "action";
    spec_.identity.warmup_steps = 10;
    spec_.identity.learning_rate = 1e-2;
    spec_.evaluation_windows = 32;
    spec_.checkpoint_every_s = 1000;
    spec_.steps = 300;
    spec_.evaluation_steps = {5, 40, 300};
    spec_.checkpoint_steps = {5, 40, 300};
    spec_.keep_checkpoints = true;
    trained_.clear();
    run_dir_ = folder_.Path(absl::StrCat("run-", outcomes ? 21 : 11));
    const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
    checkpoints_ = spool.All<run::CheckpointRecord>();
    spec_.kind = run::RunKind::kEvaluate;
    // More than the 128 episodes that are played together.
    spec_.identity.evaluation = {.videos = 48, .seed = 3, .episodes = 130, .environment = world};
    spec_.checkpoint_steps.clear();
    spec_.keep_checkpoints = false;
    Evaluate({5, 40, 300});
    for (run::RunInput& input : spec_.inputs) input.run_id = outcomes ? 21 : 11;
    Curve curve, again;
    RunAs(outcomes ? 22 : 12).MergeInto(&curve, 300);
    const auto value = [&](const char* series, int64_t step) {
      return curve.at({series, step}).value();
    };
    EXPECT_LT(value("heldout", 300), value("heldout", 5));
    EXPECT_GT(value("return", 300), value("return", 5) + 2 * value("return_se", 300));
    EXPECT_GT(value("s_ern", 300), 0.15);
    EXPECT_NEAR(value("return", 300), 8 * value("real_reward", 300), 1e-9);
    EXPECT_EQ(curve.count({"token_accuracy_h1", 300}), 0u);
    const auto all = spec_.inputs;
    Evaluate({40});
    for (run::RunInput& input : spec_.inputs) input.run_id = outcomes ? 21 : 11;
    RunAs(outcomes ? 23 : 13).MergeInto(&again, 300);
    EXPECT_EQ(again.at({"return", 40}), curve.at({"return", 40}));
  }
}

// Codes of images are also compared by what the tokenizer sees in their pictures; the model is one
// of objective `world`.
TEST_F(EvaluationTest, GeneratedImagesAreComparedByTheTokenizersEncoder) {
  constexpr char kImages[] = "strata:library=4,movers=0,view=8,zo=16,frames=8,pixels=16,outcomes=1";
  spec_ = run::RunSpec();
  spec_.kind = run::RunKind::kTokenizer;
  spec_.identity.dataset = kImages;
  spec_.identity.shape = {"vqvae", 1, 1, 8, 16, 8, 16, 16, 3};
  spec_.identity.batch_tokens = 8 * 16;
  spec_.identity.learning_rate = 3e-3;
  spec_.steps = 60;
  spec_.evaluation_steps = {60};
  spec_.evaluation_windows = 8;
  run_dir_ = folder_.Path("run-9");
  const auto codes = RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>().back();
  const run::RunInput tokenizer = {run::InputKind::kTokenizer, "00000000000000ab", 9, codes.file,
                                   codes.hash};
  spec_ = run::RunSpec();
  spec_.identity.dataset = kImages;
  spec_.identity.tokenizer_key = "00000000000000ab";
  spec_.inputs = {tokenizer};
  spec_.identity.shape = {"gpt", 1, 1, 16, 18 * 3, 8 + 8 + 6};
  spec_.identity.objective = "world";
  spec_.identity.batch_tokens = 8 * 54;
  spec_.identity.learning_rate = 3e-2;
  spec_.steps = 100;
  spec_.evaluation_steps = {1, 100};
  spec_.checkpoint_steps = {1, 100};
  spec_.keep_checkpoints = true;
  spec_.evaluation_windows = 16;
  spec_.checkpoint_every_s = 1000;
  run_dir_ = folder_.Path("run-1");
  checkpoints_ = RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>();
  spec_.kind = run::RunKind::kEvaluate;
  spec_.identity.evaluation.videos = 100;
  spec_.checkpoint_steps.clear();
  spec_.keep_checkpoints = false;
  Evaluate({1, 100});
  spec_.inputs.push_back(tokenizer);
  Curve curve, again;
  RunAs(2).MergeInto(&curve, 100);
  RunAs(3).MergeInto(&again, 100);
  EXPECT_EQ(curve, again);
  for (const int64_t step : {1, 100}) {
    for (const char* series : {"perceptual_h1", "perceptual_h2"}) {
      EXPECT_GE(curve.at({series, step}).value(), 0) << series;
      EXPECT_LE(curve.at({series, step}).value(), 2) << series;
    }
  }
  EXPECT_LT(curve.at({"heldout", 100}).value(), curve.at({"heldout", 1}).value());
  EXPECT_LT(curve.at({"perceptual_h1", 100}).value(), curve.at({"perceptual_h1", 1}).value());
}

TEST_F(EvaluationTest, AStepHasTheSameBitsWhateverWasEvaluatedBefore) {
  Train();
  Curve whole, parts;
  RunAs(2).MergeInto(&whole, 150);
  for (const int64_t step : {150, 5, 40}) {
    Evaluate({step});
    RunAs(static_cast<int>(10 + step)).MergeInto(&parts, 150);
  }
  EXPECT_EQ(whole, parts);
}

TEST_F(EvaluationTest, WhatIsNotThereOrNotTheRunsIsRefused) {
  Train();
  const run::RunSpec good = spec_;
  spec_.inputs[1].hash = "0123456789abcdef";
  SpoolContents spool = RunAs(2, ExitReason::kCheckpoint);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message, HasSubstr("its hash is"));
  spec_ = good;
  spec_.identity.seed += 1;
  spool = RunAs(3, ExitReason::kCheckpoint);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message, HasSubstr("it is of another run"));
}

TEST(EvaluationSpecTest, AStepWithoutItsCheckpointIsRefusedByName) {
  run::RunSpec spec;
  spec.identity.shape = {"gpt", 1, 2, 32, 34, 99};
  spec.identity.dataset = "walk";
  spec.identity.batch_tokens = 34;
  spec.identity.learning_rate = 1;
  spec.steps = 10;
  spec.evaluation_steps = {10};
  spec.kind = run::RunKind::kEvaluate;
  spec.identity.evaluation.videos = 8;
  EXPECT_THAT(run::ParseRunSpec(run::RunSpecJson(spec)).status().message(),
              HasSubstr("steps of inputs of kind checkpoint"));
  spec.evaluation_steps = {};
  spec.identity.evaluation.episodes = 4;
  EXPECT_THAT(run::ParseRunSpec(run::RunSpecJson(spec)).status().message(),
              HasSubstr("identity.evaluation.episodes is 4; allowed: 0 where"));
  spec.identity.objective = "action";
  EXPECT_THAT(run::ParseRunSpec(run::RunSpecJson(spec)).status().message(),
              HasSubstr("identity.evaluation.environment"));
  spec.identity.evaluation.episodes = 0;
  spec.identity.evaluation.frames = 1;
  EXPECT_THAT(run::ParseRunSpec(run::RunSpecJson(spec)).status().message(),
              HasSubstr("identity.evaluation.frames is 1; allowed: 2 or more"));
  spec.kind = run::RunKind::kTrain;
  EXPECT_THAT(run::ParseRunSpec(run::RunSpecJson(spec)).status().message(),
              HasSubstr("identity.evaluation.videos"));
}

}  // namespace
}  // namespace allometry::trainer
