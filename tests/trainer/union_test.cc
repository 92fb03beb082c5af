// Unions through the real trainer: losses by member, resuming, a tokenizer of all members.
#include <cmath>
#include <map>
#include <string>

#include "data/generated.h"
#include "data/union_name.h"
#include "tests/testing/frame_dataset.h"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

class UnionTest : public ResumeTest {
 protected:
  UnionTest() {
    for (const auto& [name, seed] : {std::pair("a", 3), {"b", 17}, {"c", 29}}) {
      ALLO_CHECK(testing::WriteFrameDataset(data_dir_, name, 24, 20, 16, seed).ok());
    }
    Read("union:a,b,c");
    spec_.identity.shape = {"gpt", 1, 2, 16, 4 * 4, 9};
    spec_.identity.batch_tokens = 8 * 16;
    spec_.identity.objective = "observation";
    SetSteps(400);
  }
  void Read(const std::string& dataset) {
    spec_.identity.dataset = dataset;
    const auto manifest = data::FindManifest(data_dir_, dataset);
    ALLO_CHECK(manifest.ok()) << manifest.status();
    spec_.identity.dataset_hash = manifest->hash;
  }
  // By series, of the last step.
  static std::map<std::string, double> Last(const SpoolContents& spool) {
    std::map<std::string, double> last;
    for (const auto& point : spool.All<run::Point>()) last[point.series] = *point.value;
    return last;
  }
};

TEST_F(UnionTest, LossesOfTheMembersAverageToThatOfTheWhole) {
  const std::map<std::string, double> last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  const double a = last.at("heldout_a"), b = last.at("heldout_b"), c = last.at("heldout_c");
  EXPECT_NEAR((a + b + c) / 3, last.at("heldout"), 1e-12);
  EXPECT_NE(a, b);
  EXPECT_NE(b, c);
  // 50 windows are 16 of each member.
  Read("union:only=b,a,b,c");
  spec_.evaluation_windows = 16;
  run_dir_ = folder_.Path("run-2");
  const std::map<std::string, double> alone = Last(RunToEnd(spec_, ExitReason::kSucceeded));
  EXPECT_EQ(alone.at("heldout"), alone.at("heldout_b"));
  EXPECT_EQ(alone.count("heldout_a"), 0u);
}

TEST_F(UnionTest, ADatasetAloneHasTheCurveThatOnlyReadsOfIt) {
  Curve curves[2];
  int run = 0;
  for (const char* dataset : {"b", "union:only=b,a,b,c"}) {
    Read(dataset);
    run_dir_ = folder_.Path(absl::StrCat("run-", ++run));
    RunToEnd(spec_, ExitReason::kSucceeded).MergeInto(&curves[run - 1], spec_.steps);
  }
  for (const auto& [point, value] : curves[0]) EXPECT_EQ(value, curves[1].at(point)) << point.first;
}

TEST_F(UnionTest, ResumedAfterKillIsBitIdentical) {
  SetSteps(4000);
  evaluation_series_ = 1 + 4 + 3;  // by frame and by member
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& trainer) { trainer.Kill(); });
}

TEST_F(UnionTest, AMemberThatIsAnotherOrMissingEndsItAsData) {
  ALLO_CHECK(testing::WriteFrameDataset(data_dir_, "b", 30, 20, 16, 18).ok());
  SpoolContents spool = RunToEnd(spec_, ExitReason::kData);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message, HasSubstr("it is another dataset"));
  std::filesystem::remove_all(data_dir_ + "/c");
  run_dir_ = folder_.Path("run-2");
  spool = RunToEnd(spec_, ExitReason::kData);
  EXPECT_THAT(spool.All<run::ExitRecord>()[0].message, HasSubstr("dataset 'c' is not in"));
}

TEST_F(UnionTest, ItsTokenizerIsOfAllMembersAndEachMembersTokensAreMadeOnce) {
  spec_.kind = run::RunKind::kTokenizer;
  spec_.identity.shape = {"vqvae", 1, 1, 8, 4, 8, 16, 16, 1};
  spec_.identity.objective = "";
  spec_.identity.batch_tokens = 8 * 4;
  spec_.identity.warmup_steps = 10;
  spec_.identity.learning_rate = 3e-3;
  spec_.evaluation_windows = 90;
  SetSteps(300);
  const SpoolContents trained = RunToEnd(spec_, ExitReason::kSucceeded);
  std::map<std::string, double> last = Last(trained);
  EXPECT_NEAR((last.at("heldout_a") + last.at("heldout_b") + last.at("heldout_c")) / 3,
              last.at("heldout"), 1e-12);
  const run::CheckpointRecord artifact = trained.All<run::CheckpointRecord>().back();

  spec_.kind = run::RunKind::kTrain;
  spec_.inputs = {
      {run::InputKind::kTokenizer, "00000000000000ab", 1, artifact.file, artifact.hash}};
  spec_.identity.tokenizer_key = "00000000000000ab";
  spec_.identity.shape = {"gpt", 1, 2, 16, 4 * 6, 8 + 5};
  spec_.identity.batch_tokens = 8 * spec_.identity.shape.context;
  spec_.identity.objective = "observation";
  spec_.steps = 100;
  spec_.evaluation_steps = {1, 100};
  int id = 1;
  const auto folders = [&] {
    int count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(folder_.Path("tokens"))) {
      ++count;
    }
    return count;
  };
  for (const char* dataset : {"union:only=b,a,b,c", "union:share=0.5,a,b,c", "union:a,b,c"}) {
    Read(dataset);
    run_dir_ = folder_.Path(absl::StrCat("run-", ++id));
    last = Last(RunToEnd(spec_, ExitReason::kSucceeded));
    EXPECT_LT(last.at("heldout"), std::log(8.0)) << dataset;
    EXPECT_EQ(last.count("heldout_b"), 1u);
    EXPECT_EQ(folders(), id == 2 ? 1 : 3) << dataset;
  }
}

}  // namespace
}  // namespace allometry::trainer
