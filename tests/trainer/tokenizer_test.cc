// Tokenizers of images through the real trainer: a run that trains one, and runs on its tokens.
#include <cmath>
#include <set>

#include "data/windows.h"
#include "tests/testing/frame_dataset.h"
#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using ::testing::HasSubstr;

constexpr char kGenerated[] = "strata:universe=7,view=8,zo=16,pixels=16,frames=8";

class TokenizerTest : public ResumeTest {
 protected:
  TokenizerTest() {
    const auto manifest = testing::WriteFrameDataset(data_dir_, "walk", 60, 20, 16);
    ALLO_CHECK(manifest.ok()) << manifest.status();
    walk_hash_ = manifest->hash;
  }
  // A vqvae of 16 x 16 images to 2 x 2 codes of 8, 8 images an update.
  void TrainTokenizerOf(const std::string& dataset, int channels) {
    spec_.kind = run::RunKind::kTokenizer;
    spec_.identity.dataset = dataset;
    spec_.identity.dataset_hash = dataset == "walk" ? walk_hash_ : "";
    spec_.identity.shape = {"vqvae", 1, 1, 8, 4, 8, 16, 16, channels};
    spec_.identity.batch_tokens = 8 * 4;
    spec_.identity.warmup_steps = 10;
    spec_.identity.learning_rate = 3e-3;
    spec_.evaluation_windows = 100;
    SetSteps(300);
  }
  std::map<std::string, double> Last(const SpoolContents& spool) {
    std::map<std::string, double> last;
    for (const auto& point : spool.All<run::Point>()) last[point.series] = *point.value;
    return last;
  }
  // Trains it as run 1, then makes spec_ that of a run on its tokens.
  void UseTokens(const std::string& dataset, int channels, int actions) {
    TrainTokenizerOf(dataset, channels);
    const auto written = RunToEnd(spec_, ExitReason::kSucceeded).All<run::CheckpointRecord>();
    ASSERT_FALSE(written.empty());
    EXPECT_EQ(written.back().step, spec_.steps);
    artifact_ = written.back();
    spec_.kind = run::RunKind::kTrain;
    spec_.inputs = {
        {run::InputKind::kTokenizer, "00000000000000ab", 1, artifact_.file, artifact_.hash}};
    spec_.identity.tokenizer_key = "00000000000000ab";
    const int action_tokens = dataset == "walk" ? 2 : 1;
    spec_.identity.shape = {"gpt", 1, 2, 16, 4 * (4 + action_tokens), 8 + actions};
    spec_.identity.batch_tokens = 8 * spec_.identity.shape.context;
    spec_.identity.objective = "observation";
    spec_.steps = 100;
    spec_.evaluation_steps = {1, 100};
  }
  SpoolContents RunAs(int id, ExitReason reason = ExitReason::kSucceeded) {
    run_dir_ = folder_.Path(absl::StrCat("run-", id));
    return RunToEnd(spec_, reason);
  }
  std::string TokensFolder() const {
    return folder_.Path(absl::StrCat("tokens/", walk_hash_, "-", artifact_.hash));
  }

  std::string walk_hash_;
  run::CheckpointRecord artifact_;
};

TEST_F(TokenizerTest, LearnsToRebuildImagesAndTellsHowManyCodesItUses) {
  TrainTokenizerOf("walk", 1);
  const SpoolContents spool = RunToEnd(spec_, ExitReason::kSucceeded);
  EXPECT_EQ(spool.All<run::ExecutionConfig>()[0].step_backend, "vq");
  double first = 0;
  for (const auto& point : spool.All<run::Point>()) {
    if (point.series == "heldout" && point.step == 1) first = *point.value;
  }
  const std::map<std::string, double> last = Last(spool);
  // Two halves of four levels each: 0.056 is the variance of a pixel.
  EXPECT_LT(last.at("heldout"), 0.02);
  EXPECT_LT(last.at("heldout"), first / 2);
  EXPECT_GT(last.at("perplexity"), 2.5);
  EXPECT_LE(last.at("perplexity"), 8);
}

TEST_F(TokenizerTest, ResumedAfterKillIsBitIdentical) {
  TrainTokenizerOf("walk", 1);
  SetSteps(900);
  evaluation_series_ = 2;  // perplexity too
  ExpectResumedCurveIsBitIdentical([](TrainerProcess& trainer) { trainer.Kill(); });
}

TEST_F(TokenizerTest, TokensOfFilesAreMadeOnceVerifiedAndMadeAnewWhereDamaged) {
  UseTokens("walk", 1, 5);
  const std::map<std::string, double> last = Last(RunAs(2));
  EXPECT_EQ(last.count("heldout/frame=4"), 1u);
  EXPECT_LT(last.at("heldout"), std::log(8.0));
  auto tokens = data::TokenDataset::Open(TokensFolder(), data::TokenDataset::Check::kHashes);
  ASSERT_THAT(tokens, testing::IsOk());
  EXPECT_EQ(tokens->manifest().vocabulary, 13);
  EXPECT_EQ(tokens->manifest().frames->tokens_per_observation, 4);
  // Every frame is there: four codes and the two actions, renumbered behind the codes.
  auto source = data::TokenDataset::Open(data_dir_ + "/walk");
  ASSERT_THAT(source, testing::IsOk());
  ASSERT_EQ(tokens->train().size(), source->train().size() / 4 * 6);
  std::vector<int32_t> frame(6), old(4);
  std::set<int32_t> codes;
  for (int64_t t = 0; t < source->train().size() / 4; ++t) {
    ASSERT_THAT(tokens->train().Read(6 * t, frame), testing::IsOk());
    ASSERT_THAT(source->train().Read(4 * t, old), testing::IsOk());
    codes.insert(frame.begin(), frame.begin() + 4);
    ASSERT_EQ(frame[4], old[2] - 4 + 8);
    ASSERT_EQ(frame[5], old[3] - 7 + 11);
  }
  EXPECT_LT(*codes.rbegin(), 8);
  EXPECT_GT(codes.size(), 2u);

  // A second run reads them; a damaged shard is found and made anew, bit for bit.
  const std::string manifest = ReadFile(TokensFolder() + "/dataset.json").value_or("");
  const std::string shard = TokensFolder() + "/train-00000.npy";
  const std::string bytes = ReadFile(shard).value_or("");
  const auto made = std::filesystem::last_write_time(shard);
  EXPECT_EQ(Last(RunAs(3)).at("heldout"), last.at("heldout"));
  EXPECT_EQ(std::filesystem::last_write_time(shard), made);
  std::string damaged = bytes;
  damaged[damaged.size() / 2] ^= 1;
  ASSERT_THAT(WriteFileAtomically(shard, damaged), testing::IsOk());
  EXPECT_EQ(Last(RunAs(4)).at("heldout"), last.at("heldout"));
  EXPECT_EQ(ReadFile(shard).value_or(""), bytes);
  // An interrupted make has no dataset.json.
  std::filesystem::remove(TokensFolder() + "/dataset.json");
  EXPECT_EQ(Last(RunAs(5)).at("heldout"), last.at("heldout"));
  EXPECT_EQ(ReadFile(TokensFolder() + "/dataset.json").value_or(""), manifest);
}

// Windows of a generated dataset are encoded as they are read, each by itself: so what a rank or a
// micro-batch takes at once changes no token, and a second run has the same curve.
TEST_F(TokenizerTest, TokensOfAGeneratedDatasetDoNotDependOnWhoReadsThem) {
  UseTokens(kGenerated, 3, 9);
  spec_.identity.learning_rate = 1e-30;  // the parameters hardly move: only tokens could
  spec_.identity.warmup_steps = 1000;
  spec_.steps = 3;
  spec_.evaluation_steps = {3};
  const double whole = Last(RunAs(2)).at("heldout");
  spec_.micro_batch = 3;
  EXPECT_EQ(Last(RunAs(3)).at("heldout"), whole);
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("tokens")));
}

TEST_F(TokenizerTest, ATokenizerThatIsNotWhatItShouldBeIsData) {
  UseTokens("walk", 1, 5);
  const auto message = [&](int id) {
    return RunAs(id, ExitReason::kData).All<run::ExitRecord>()[0].message;
  };
  spec_.identity.shape.vocabulary = 12;
  EXPECT_THAT(message(2), HasSubstr("has 13 token ids; the model's vocabulary is 12"));
  spec_.identity.shape.vocabulary = 13;
  spec_.inputs[0].hash = "00000000000000ff";
  EXPECT_THAT(message(3),
              HasSubstr("its hash is " + artifact_.hash + ", it should be 00000000000000ff"));
  spec_.inputs.clear();
  EXPECT_THAT(message(4), HasSubstr("no input of kind tokenizer"));
}

TEST_F(TokenizerTest, ADatasetWithoutSuchImagesIsData) {
  TrainTokenizerOf("walk", 1);
  spec_.identity.shape.image_height = spec_.identity.shape.image_width = 32;
  EXPECT_THAT(RunToEnd(spec_, ExitReason::kData).All<run::ExitRecord>()[0].message,
              HasSubstr("has images of 16 x 16 x 1; the model's are 32 x 32 x 1"));
}

}  // namespace
}  // namespace allometry::trainer
