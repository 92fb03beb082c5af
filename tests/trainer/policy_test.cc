// Policies through the real trainer: a run that trains a world model, and runs in it (band 36).
#include <cmath>

#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using run::Teacher;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kWorld[] =
    "strata:library=4,alpha=0.35,movers=0,policy=mix3,view=8,zo=16,frames=32,outcomes=1";
constexpr int kFrame = 18, kFrames = 8;

class PolicyTest : public ResumeTest {
 protected:
  // Trains a world model of `width` for `steps` updates as run 1, then makes spec_ that of a policy
  // in it.
  void TrainModel(const std::string& dataset, int width, int64_t steps) {
    spec_ = run::RunSpec();
    spec_.identity.dataset = dataset;
    spec_.identity.shape = {.family = "gpt",
                            .layers = 2,
                            .heads = 1,
                            .width = width,
                            .context = kFrame * kFrames,
                            .vocabulary = 4096 + 8 + 6,
                            .positions = run::Positions::kRotary,
                            .frame_tokens = kFrame};
    spec_.identity.objective = "world";
    spec_.identity.batch_tokens = 16 * kFrame * kFrames;
    spec_.identity.warmup_steps = std::min<int64_t>(20, steps / 2);
    spec_.identity.learning_rate = 4e-3;
    spec_.identity.seed = 3;
    spec_.steps = steps;
    spec_.evaluation_steps = {steps};
    spec_.evaluation_windows = 64;
    spec_.checkpoint_every_s = 1000;
    TrainRun1();
  }

  void TrainRun1() {
    run_dir_ = folder_.Path("run-1");
    const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
    const run::CheckpointRecord model = spool.All<run::CheckpointRecord>().back();
    spec_.kind = run::RunKind::kPolicy;
    spec_.inputs.push_back({run::InputKind::kModel, "00000000000000aa", 1, model.file, model.hash});
    spec_.identity.warmup_steps = 0;
    spec_.identity.learning_rate = 1e-3;
    spec_.identity.optimizer = {.beta2 = 0.999, .weight_decay = 0, .epsilon = 1e-5};
    spec_.identity.policy.model_key = "00000000000000aa";
    spec_.identity.policy.model_step = spec_.steps;
    spec_.identity.policy.environment = kWorld;
    spec_.log_every = 5;
    run_dir_ = folder_.Path("run-2");
  }

  std::map<std::string, double> Last(const SpoolContents& spool) {
    std::map<std::string, double> last;
    for (const auto& point : spool.All<run::Point>()) last[point.series] = *point.value;
    return last;
  }
  std::map<std::string, double> Learn(Teacher teacher, int64_t updates) {
    run_dir_ = folder_.Path(absl::StrCat("run-", run::NameOf(teacher)));
    spec_.identity.policy.teacher = teacher;
    spec_.steps = updates;
    spec_.evaluation_steps = {updates};
    return Last(RunToEnd(spec_, ExitReason::kSucceeded));
  }
  // Few rows of few steps.
  void MakeSmall() {
    run::PolicyRecipe& policy = spec_.identity.policy;
    policy.starts = 4;
    policy.horizon = 2;
    policy.width = 16;
    policy.episodes = 3;
    policy.gate = false;
    logged_series_ = 4;      // imagined_return, rollout_reward, entropy, value_loss
    evaluation_series_ = 4;  // return, return_se, real_reward, s_ern
    SetSteps(700);
    spec_.log_every = 7;
  }
};

TEST_F(PolicyTest, LearnsInImaginationWhatHelpsInTheRealWorld) {
  TrainModel(kWorld, 48, 900);
  spec_.identity.policy.starts = 64;
  spec_.identity.policy.episodes = 64;
  const auto imagined = Learn(Teacher::kImagination, 60);
  const auto cloned = Learn(Teacher::kCloning, 60);
  const auto random = Learn(Teacher::kRandom, 1);
  const auto real = Learn(Teacher::kReal, 60);
  // A uniform policy is the scale's zero, but for the other draws of 64 episodes.
  EXPECT_NEAR(random.at("s_ern"), 0, 0.15);
  EXPECT_NEAR(random.at("return"), random.at("real_reward") * 32, 1e-9);
  // Two thirds of the least of five seeds, .14 to .64 (docs/results/imagination.md).
  EXPECT_GT(imagined.at("s_ern"), 0.09);
  EXPECT_GT(real.at("s_ern"), 0.3);
  EXPECT_GT(cloned.at("s_ern"), 0.1);
  EXPECT_LT(cloned.at("train"), std::log(8.0));
  EXPECT_GT(imagined.at("return_se"), 0);
  EXPECT_NEAR(imagined.at("imagined_return"), 6 * imagined.at("rollout_reward"), 1e-9);
  EXPECT_GT(imagined.at("entropy"), 0.1);
  EXPECT_LT(imagined.at("entropy"), std::log(8.0));
}

TEST_F(PolicyTest, ResumedAfterKillIsBitIdentical) {
  TrainModel(kWorld, 16, 5);
  MakeSmall();
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& trainer) { trainer.Kill(); });
}

TEST_F(PolicyTest, ResumedAfterKillIsBitIdenticalInTheRealWorldToo) {
  TrainModel(kWorld, 16, 5);
  MakeSmall();
  spec_.identity.policy.teacher = Teacher::kReal;
  SetSteps(2100);
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& trainer) { trainer.Kill(); });
}

TEST_F(PolicyTest, AModelThatForeseesNoRewardIsNotActedIn) {
  TrainModel(kWorld, 16, 2);
  spec_.steps = 5;
  spec_.evaluation_steps = {5};
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kUnfitModel);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message,
              AllOf(HasSubstr("foresees too little"), HasSubstr("0.00 (asked for is 0.3)"),
                    HasSubstr("imagine.gate: false")));
  EXPECT_TRUE(spool.All<run::Point>().empty());
}

TEST_F(PolicyTest, AnEnvironmentThatIsNotTheDatasetsEndsTheAttempt) {
  TrainModel(kWorld, 16, 2);
  MakeSmall();
  const auto message = [&](const std::string& environment) {
    spec_.identity.policy.environment = environment;
    ++spec_.attempt;
    return RunToEnd(spec_, ExitReason::kEnvironment).All<run::ExitRecord>()[0].message;
  };
  EXPECT_THAT(message("process:/no/such/program"), HasSubstr("cannot start /no/such/program"));
  EXPECT_THAT(message("strata:view=16,zo=64"), HasSubstr("it shows 64 tokens, the dataset 16"));
  EXPECT_THAT(message(absl::StrCat("process:", ALLO_STUB_ENVIRONMENT, ":count@16x16x3x8")),
              HasSubstr("it shows images, and there is no tokenizer to read them"));
  EXPECT_THAT(message(absl::StrCat("process:", ALLO_STUB_ENVIRONMENT, ":count")),
              HasSubstr("it has 3 actions, the dataset 8"));
}

// Images through a tokenizer, and a program that plays: it works, and where it dies the attempt
// ends with its last words.
TEST_F(PolicyTest, PlaysInAProgramThroughATokenizerOfImages) {
  constexpr char kImages[] = "strata:library=4,movers=0,view=8,zo=16,frames=8,pixels=16,outcomes=1";
  spec_ = run::RunSpec();
  spec_.kind = run::RunKind::kTokenizer;
  spec_.identity.dataset = kImages;
  spec_.identity.shape = {"vqvae", 1, 1, 8, 4, 8, 16, 16, 3};
  spec_.identity.batch_tokens = 8 * 4;
  spec_.identity.learning_rate = 3e-3;
  spec_.steps = 20;
  spec_.evaluation_steps = {20};
  spec_.evaluation_windows = 8;
  run_dir_ = folder_.Path("run-9");
  const auto codes = RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>().back();
  spec_ = run::RunSpec();
  spec_.identity.dataset = kImages;
  spec_.identity.tokenizer_key = "00000000000000ab";
  spec_.inputs = {{run::InputKind::kTokenizer, "00000000000000ab", 9, codes.file, codes.hash}};
  spec_.identity.shape = {"gpt", 1, 1, 16, 6 * 4, 8 + 8 + 6};
  spec_.identity.objective = "world";
  spec_.identity.batch_tokens = 4 * 24;
  spec_.identity.learning_rate = 1e-3;
  spec_.steps = 3;
  spec_.evaluation_steps = {3};
  spec_.evaluation_windows = 8;
  TrainRun1();
  MakeSmall();
  spec_.steps = 4;
  spec_.evaluation_steps = {2, 4};
  spec_.checkpoint_every_s = 0.001;
  const std::string stub = absl::StrCat("process:", ALLO_STUB_ENVIRONMENT);
  spec_.identity.policy.environment = stub + ":count@16x16x3x8";
  const auto last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  // Five steps of an action between 0 and 7 less 1.
  EXPECT_GE(last.at("return"), -5);
  EXPECT_LE(last.at("return"), 30);
  EXPECT_EQ(last.count("s_ern"), 0u);

  spec_.identity.policy.environment = stub + ":dies@16x16x3x8";
  run_dir_ = folder_.Path("run-3");
  const SpoolContents died = RunToEnd(spec_, ExitReason::kEnvironment);
  EXPECT_THAT(died.All<run::ExitRecord>()[0].message,
              HasSubstr("it said: the third step is too much"));
  EXPECT_EQ(died.All<run::ExitRecord>()[0].step, 2);
}

}  // namespace
}  // namespace allometry::trainer
