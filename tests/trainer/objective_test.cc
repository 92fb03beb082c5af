// Objectives and families through the real trainer: what their curves hold.
#include <cmath>

#include "tests/testing/frame_dataset.h"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

class ObjectiveTest : public TrainerTest {
 protected:
  ObjectiveTest() {
    const auto manifest = testing::WriteFrameDataset(data_dir_, "walk", 400, 20, 16);
    ALLO_CHECK(manifest.ok()) << manifest.status();
    spec_.identity.warmup_steps = 10;
    spec_.steps = 60;
    spec_.evaluation_steps = {1, 60};
  }
  void UseFrames(const std::string& objective) {
    spec_.identity.dataset = "walk";
    spec_.identity.dataset_hash.clear();
    spec_.identity.shape = {"gpt", 2, 2, 16, 16, 9};  // four frames
    spec_.identity.objective = objective;
  }
  std::map<std::string, double> Last(const SpoolContents& spool) {
    std::map<std::string, double> last;
    for (const auto& point : spool.All<run::Point>()) last[point.series] = *point.value;
    return last;
  }
};

// A world model's loss is the mean of its frames' losses, the first frame having a position less.
TEST_F(ObjectiveTest, ObservationLossesAreToldByFrame) {
  UseFrames("observation");
  spec_.steps = 400;
  spec_.evaluation_steps = {1, 400};
  std::map<std::string, double> last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  ASSERT_EQ(last.count("heldout/frame=4"), 1u);
  EXPECT_EQ(last.count("heldout/frame=5"), 0u);
  const double sum =
      last["heldout/frame=1"] +
      2 * (last["heldout/frame=2"] + last["heldout/frame=3"] + last["heldout/frame=4"]);
  EXPECT_NEAR(last["heldout"], sum / 7, 1e-12);
  // Given the frame before, cells are known; the first is uniform.
  EXPECT_NEAR(last["heldout/frame=1"], std::log(4.0), 0.15);
  EXPECT_LT(last["heldout/frame=4"], 1.0);
}

TEST_F(ObjectiveTest, ActionLossFallsToTheNoiseOfThePolicy) {
  UseFrames("action");
  std::map<std::string, double> last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  // By chance (log 3 + log 2) / 2 = 0.90; the policy's own entropy is 0.4.
  EXPECT_LT(last["heldout"], 0.75);
  EXPECT_GT(last["heldout"], 0.35);
}

TEST_F(ObjectiveTest, BehaviourIsClonedFromImagesToo) {
  UseFrames("action");
  spec_.identity.shape = {"bc-cnn-lite", 1, 2, 16, 4, 5, 16, 16, 1};
  spec_.identity.batch_tokens = 64;
  spec_.steps = 150;
  spec_.evaluation_steps = {1, 150};
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
  EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].step_backend, "autograd");
  std::map<std::string, double> last = Last(spool);
  EXPECT_LT(last["heldout"], 0.75);
  EXPECT_GT(last["heldout"], 0.35);
}

// A world of one prefab without movers: what an action leads to is soon known.
TEST_F(ObjectiveTest, AWorldModelTellsItsOutcomesBesideItsObservations) {
  spec_.identity.dataset =
      "strata:library=1,movers=0,policy=expert,view=8,zo=16,frames=4,outcomes=1";
  spec_.identity.dataset_hash.clear();
  spec_.identity.tokenizer_hash.clear();
  spec_.identity.shape = {"gpt", 1, 2, 32, 72, 4110};
  spec_.identity.shape.positions = run::Positions::kRotary;
  spec_.identity.shape.frame_tokens = 18;
  spec_.identity.batch_tokens = 16 * 72;
  spec_.identity.learning_rate = 5e-3;
  spec_.evaluation_windows = 64;
  spec_.steps = 300;
  spec_.evaluation_steps = {1, 300};
  spec_.identity.objective = "world";
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
  EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].step_backend, "fused_cpu");
  std::map<std::string, double> last = Last(spool);
  // heldout is the observations' alone: the mean of the frames'.
  const double sum =
      15 * last["heldout/frame=1"] +
      16 * (last["heldout/frame=2"] + last["heldout/frame=3"] + last["heldout/frame=4"]);
  EXPECT_NEAR(last["heldout"], sum / 63, 1e-12);
  EXPECT_LT(last["heldout_outcome"], 0.25);
  EXPECT_GT(last["reward_recall"], 0.6);
  EXPECT_GT(last["reward_precision"], 0.6);
}

TEST_F(ObjectiveTest, ClassLossComesWithTheEntropyOfTheClasses) {
  spec_.identity.objective = "super";
  spec_.identity.objective_seed = 3;
  std::map<std::string, double> last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  ASSERT_EQ(last.count("class_entropy"), 1u);
  EXPECT_GT(last["class_entropy"], 0.5);
  EXPECT_LE(last["class_entropy"], std::log(2.0) + 1e-12);
  EXPECT_LT(last["heldout"], last["class_entropy"] + 0.05);
}

TEST_F(ObjectiveTest, BitsOfTheHeldoutLossDoNotDependOnTheMicroBatch) {
  UseFrames("action");
  spec_.steps = 1;
  spec_.evaluation_steps = {1};
  spec_.identity.warmup_steps = 1000;  // the parameters hardly move
  spec_.identity.learning_rate = 1e-30;
  const double whole = Last(RunToEnd(spec_, ExitReason::kSucceeded))["heldout"];
  run_dir_ = folder_.Path("run-2");
  spec_.micro_batch = 3;
  EXPECT_EQ(Last(RunToEnd(spec_, ExitReason::kSucceeded))["heldout"], whole);
}

TEST_F(ObjectiveTest, ADatasetThatCannotGiveTheObjectiveIsData) {
  spec_.identity.objective = "action";
  const SpoolContents text = RunToEnd(spec_, ExitReason::kData);
  EXPECT_THAT(text.All<run::ExitRecord>()[0].message, HasSubstr("needs a dataset of frames"));
  UseFrames("action");
  spec_.identity.shape = {"bc-cnn-lite", 1, 2, 16, 4, 5, 32, 32, 1};
  run_dir_ = folder_.Path("run-2");
  const SpoolContents images = RunToEnd(spec_, ExitReason::kData);
  EXPECT_THAT(images.All<run::ExitRecord>()[0].message,
              HasSubstr("has images of 16 x 16 x 1; the model's are 32 x 32 x 1"));
}

}  // namespace
}  // namespace allometry::trainer
