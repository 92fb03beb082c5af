#include "data/strata_dataset.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/generated.h"
#include "data/import_trajectories.h"
#include "data/strata/episode.h"
#include "data/strata/render.h"
#include "data/strata/tokens.h"
#include "data/trajectories.h"
#include "data/verify.h"
#include "data/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

StrataOptions Options(const std::string& spec, int64_t steps) {
  StrataOptions options;
  options.name = "world";
  options.spec = *strata::ParseSpec(spec);
  options.steps = steps;
  return options;
}

TEST(StrataDatasetTest, TokensAndImagesAreThoseOfTheEpisodes) {
  TemporaryFolder folder;
  StrataOptions options = Options("strata:view=8,zo=16,frames=5,pixels=16,library=64", 100);
  options.hdf5 = true;
  options.entropy_frames = 2;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeStrataDataset(options, folder.path()));
  EXPECT_EQ(made.manifest.documents, 20);
  EXPECT_EQ(made.manifest.unique_tokens, 19 * 5 * 17);
  EXPECT_EQ(made.manifest.heldout_tokens, 5 * 17);
  EXPECT_GT(made.manifest.returns->expert, made.manifest.returns->random);
  ASSERT_EQ(made.manifest.entropies.size(), 1u);
  EXPECT_GT(made.manifest.entropies[0].nats_per_token, 0.1);
  ASSERT_OK(VerifyDataset(folder.Path("world")));

  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder.Path("world")));
  const strata::World world(options.spec);
  const strata::Renderer renderer(world, 16);
  const auto tokenizer = *strata::Tokenizer::Create(8, 16);
  // The held-out split is episode 19.
  strata::Episode episode(world, 19);
  std::vector<int32_t> read(17), tokens(16);
  std::vector<uint8_t> image(768), drawn(768);
  for (int64_t t = 0; t < 5; ++t) {
    ASSERT_OK(dataset.heldout().Read(17 * t, read));
    tokenizer.Encode(episode.view(), tokens);
    const int action = episode.Demonstrate();
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), read.begin()));
    EXPECT_EQ(read[16], 4096 + action);
    dataset.heldout_images().Read(t, 1, image);
    renderer.Draw(episode.view(), drawn);
    EXPECT_EQ(image, drawn);
    episode.Step(action);
  }
}

TEST(StrataDatasetTest, OutcomesFollowTheActionsAndAreInTheManifest) {
  TemporaryFolder folder;
  const StrataOptions options =
      Options("strata:view=8,zo=16,frames=6,library=16,policy=expert,outcomes=1", 120);
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeStrataDataset(options, folder.path()));
  EXPECT_EQ(made.manifest.unique_tokens, 19 * 6 * 18);
  ASSERT_OK(VerifyDataset(folder.Path("world")));
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder.Path("world")));
  EXPECT_EQ(dataset.manifest().frames->tokens_per_outcome, 1);
  const strata::World world(options.spec);
  int rewards = 0;
  for (uint64_t number = 0; number < 19; ++number) {
    strata::Episode episode(world, number);
    for (int64_t t = 0; t < 6; ++t) {
      std::vector<int32_t> frame(18);
      ASSERT_OK(dataset.train().Read((static_cast<int64_t>(number) * 6 + t) * 18, frame));
      const double reward = episode.Step(frame[16] - 4096);
      EXPECT_EQ(frame[17], 4096 + 8 + (reward > 0 ? 2 : 1));
      rewards += reward > 0;
    }
  }
  EXPECT_GT(rewards, 3);
}

TEST(StrataDatasetTest, MadeAgainItIsThereAndElsewhereItIsTheSame) {
  TemporaryFolder folder, other;
  const StrataOptions options = Options("strata:view=8,zo=64,frames=4", 80);
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeStrataDataset(options, folder.path()));
  ASSERT_OK_AND_ASSIGN(const MadeDataset again, MakeStrataDataset(options, folder.path()));
  EXPECT_FALSE(made.existed);
  EXPECT_TRUE(again.existed);
  ASSERT_OK_AND_ASSIGN(const MadeDataset elsewhere, MakeStrataDataset(options, other.path()));
  EXPECT_EQ(elsewhere.manifest.hash, made.manifest.hash);
  EXPECT_THAT(
      MakeStrataDataset(Options("strata:view=8,zo=64,frames=4,universe=2", 80), folder.path()),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("universe=1")));
}

TEST(StrataDatasetTest, MistakesSayWhatIsAllowed) {
  TemporaryFolder folder;
  EXPECT_THAT(MakeStrataDataset(Options("strata:frames=64", 100), folder.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("100 steps"), HasSubstr("1280 or more"))));
  StrataOptions hashed = Options("strata:zo=16,frames=4", 100);
  hashed.entropy_frames = 2;
  EXPECT_THAT(MakeStrataDataset(hashed, folder.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("zo=16 of view=16 is hashed"), HasSubstr("view=8"))));
}

TEST(TrajectoriesTest, FileOfStrataComesBackAsTheSameTokens) {
  // With a token a cell the tiles in the file are the observation tokens.
  TemporaryFolder folder;
  StrataOptions options = Options("strata:view=8,zo=64,frames=6,pixels=16", 120);
  options.hdf5 = true;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeStrataDataset(options, folder.path()));
  ImportTrajectoriesOptions import;
  import.name = "again";
  import.file = folder.Path("world/trajectories.hdf5");
  import.observation_ids = 8;
  import.action_ids = 8;
  ASSERT_OK_AND_ASSIGN(const MadeDataset imported, ImportTrajectories(import, folder.path()));
  const Manifest& again = imported.manifest;
  EXPECT_FALSE(imported.existed);
  EXPECT_EQ(imported.from, "20 episodes");
  EXPECT_EQ(again.vocabulary, made.manifest.vocabulary);
  EXPECT_EQ(again.frames->frames_per_episode, 6);
  EXPECT_EQ(again.frames->frames_left_out, 0);
  for (const char* file : {"train-00000.npy", "heldout-00000.npy"}) {
    ASSERT_OK_AND_ASSIGN(const std::string a, ReadFile(folder.Path(absl::StrCat("world/", file))));
    ASSERT_OK_AND_ASSIGN(const std::string b, ReadFile(folder.Path(absl::StrCat("again/", file))));
    EXPECT_EQ(a, b) << file;
  }
  import.frames = 4;
  import.name = "cut";
  ASSERT_OK_AND_ASSIGN(const MadeDataset cut, ImportTrajectories(import, folder.path()));
  EXPECT_EQ(cut.manifest.frames->frames_left_out, 40);
  EXPECT_EQ(cut.manifest.unique_tokens, 19 * 4 * 65);
  EXPECT_THAT(cut.left_out, ::testing::ElementsAre(HasSubstr("40 frames")));
}

TEST(GeneratedManifestTest, TextsThatMeanTheSameGiveTheSameManifest) {
  ASSERT_OK_AND_ASSIGN(const Manifest a, GeneratedManifest("strata:zo=16,view=8"));
  ASSERT_OK_AND_ASSIGN(const Manifest b,
                       FindManifest("/nowhere", "strata:view=8,zo=16,universe=1"));
  EXPECT_EQ(a.hash, b.hash);
  EXPECT_EQ(a.kind, DatasetKind::kGenerated);
  EXPECT_EQ(a.vocabulary, 4096 + 8);
  EXPECT_EQ(a.frames->tokens_per_frame(), 17);
  EXPECT_TRUE(IsGenerated(a.name));
  EXPECT_THAT(FindManifest("/nowhere", "strata:zo=17"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("zo=17")));
}

}  // namespace
}  // namespace allometry::data
