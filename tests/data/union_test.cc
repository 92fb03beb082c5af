#include "data/union.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/generated.h"
#include "data/union_name.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/frame_dataset.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Three datasets of frames of four tokens in episodes of seven; windows of three frames.
class UnionTest : public ::testing::Test {
 protected:
  static constexpr int64_t kContext = 12;
  UnionTest() {
    Write("a", 5, 3);
    Write("b", 3, 17);
    Write("c", 9, 29);
  }
  void Write(const std::string& name, int64_t episodes, uint64_t seed, int64_t frames = 7,
             int64_t side = 2) {
    EXPECT_OK(
        testing::WriteFrameDataset(folder_.path(), name, episodes, frames, side, seed).status());
  }
  absl::StatusOr<Manifest> Find(const std::string& text) {
    return FindManifest(folder_.path(), text);
  }
  WindowSources Open(const std::string& text, int64_t heldout = 100, int64_t seed = 4) {
    const auto manifest = Find(text);
    EXPECT_OK(manifest.status());
    auto sources = OpenDataset(manifest->kind, folder_.path(), text, {kContext, seed, heldout});
    EXPECT_OK(sources.status());
    return *std::move(sources);
  }
  static std::vector<int32_t> Window(const WindowSource& source, int64_t number) {
    std::vector<int32_t> inputs(kContext), targets(kContext);
    EXPECT_OK(source.Fill(number, 1, inputs, targets));
    EXPECT_TRUE(std::equal(inputs.begin() + 1, inputs.end(), targets.begin()));
    EXPECT_EQ(targets.back(), -1);
    return inputs;
  }
  static std::vector<uint8_t> Images(const WindowSource& source, int64_t number) {
    std::vector<uint8_t> images(3 * 4);
    EXPECT_OK(source.FillImages(number, 1, images));
    return images;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(UnionTest, TrainingWindowsAreThoseOfEachMemberByTurns) {
  const WindowSources both = Open("union:b,a,c");
  EXPECT_THAT(both.members, ElementsAre("b", "a", "c"));
  const WindowSources alone[] = {Open("b"), Open("a"), Open("c")};
  // Past the end of the smallest, whose epoch is six windows.
  for (int64_t g = 0; g < 60; ++g) {
    EXPECT_EQ(Window(*both.train, g), Window(*alone[g % 3].train, g / 3)) << g;
    EXPECT_EQ(Images(*both.train, g), Images(*alone[g % 3].train, g / 3)) << g;
  }
  // Several at once, from the middle of a turn.
  std::vector<int32_t> inputs(5 * kContext), targets(5 * kContext);
  ASSERT_OK(both.train->Fill(7, 5, inputs, targets));
  for (int64_t row = 0; row < 5; ++row) {
    const std::vector<int32_t> one = Window(*both.train, 7 + row);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), inputs.begin() + row * kContext)) << row;
  }
  EXPECT_NE(Window(*Open("union:b,a,c", 100, 5).train, 0), Window(*both.train, 0));
}

TEST_F(UnionTest, HeldoutWindowsAreEquallyManyOfEachMember) {
  // a has two held-out episodes of two windows, b one, c three.
  const WindowSources all = Open("union:a,b,c");
  EXPECT_EQ(all.heldout_count, 3 * 2);
  const WindowSources alone[] = {Open("a", 2), Open("b", 2), Open("c", 2)};
  for (int64_t j = 0; j < all.heldout_count; ++j) {
    EXPECT_EQ(Window(*all.heldout, j), Window(*alone[j % 3].heldout, j / 3)) << j;
  }
  EXPECT_EQ(Open("union:a,c", 5).heldout_count, 4);
  const auto too_few =
      OpenDataset(DatasetKind::kUnion, folder_.path(), "union:a,b,c", {kContext, 1, 2});
  EXPECT_THAT(too_few.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("2 held-out windows for 3 members")));
  const auto half_frame =
      OpenDataset(DatasetKind::kUnion, folder_.path(), "union:a,b,c", {kContext + 2, 1, 9});
  EXPECT_THAT(half_frame.status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("context 14 is not a number of whole")));
}

TEST_F(UnionTest, ShareLeavesOutTheLaterTrainingEpisodesAlone) {
  const WindowSources whole = Open("union:a,c"), part = Open("union:share=0.4,a,c");
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Find("union:share=0.4,a,c"));
  // Two of five episodes and three of nine.
  EXPECT_EQ(manifest.members[0].unique_tokens, 2 * 28);
  EXPECT_EQ(manifest.members[1].unique_tokens, 3 * 28);
  EXPECT_EQ(manifest.unique_tokens, 5 * 28);
  const testing::FrameSplit a = testing::WalkingFrames(2, 7, 2, 3);
  std::set<std::vector<int32_t>> windows, seen;
  for (const int64_t frame : {0, 3, 7, 10}) {
    windows.emplace(a.tokens.begin() + frame * 4, a.tokens.begin() + frame * 4 + kContext);
  }
  for (int64_t g = 0; g < 8; g += 2) seen.insert(Window(*part.train, g));
  EXPECT_EQ(seen, windows);
  for (int64_t j = 0; j < part.heldout_count; ++j) {
    EXPECT_EQ(Window(*part.heldout, j), Window(*whole.heldout, j));
  }
}

TEST_F(UnionTest, OnlyReadsOneMember) {
  const WindowSources one = Open("union:only=c,a,b,c"), alone = Open("c");
  EXPECT_THAT(one.members, ElementsAre("c"));
  EXPECT_EQ(one.manifest.unique_tokens, alone.manifest.unique_tokens);
  EXPECT_EQ(one.heldout_count, alone.heldout_count);
  for (int64_t g = 0; g < 9; ++g) EXPECT_EQ(Window(*one.train, g), Window(*alone.train, g));
}

TEST_F(UnionTest, EpochsAreThoseOfTheMemberThatRepeatsMost) {
  ASSERT_OK_AND_ASSIGN(const Manifest both, Find("union:a,b"));
  // Of b's six windows; half of all windows are its.
  EXPECT_DOUBLE_EQ(Epochs(both, 24, kContext), 2);
  ASSERT_OK_AND_ASSIGN(const Manifest one, Find("union:only=a,a,b"));
  EXPECT_DOUBLE_EQ(Epochs(one, 25, kContext), 2.5);
  ASSERT_OK_AND_ASSIGN(const Manifest worlds,
                       Find("union:strata:universe=1,zo=16,view=8,strata:universe=2,zo=16,view=8"));
  EXPECT_DOUBLE_EQ(Epochs(worlds, 1'000'000, 34), 1);
}

TEST_F(UnionTest, ItsHashFollowsFromItsMembersInTheirOrder) {
  ASSERT_OK_AND_ASSIGN(const Manifest ab, Find("union:a,b"));
  ASSERT_OK_AND_ASSIGN(const Manifest ba, Find("union:b,a"));
  ASSERT_OK_AND_ASSIGN(const Manifest part, Find("union:share=.5,a,b"));
  EXPECT_EQ(part.name, "union:share=0.5,a,b");
  EXPECT_NE(ab.hash, ba.hash);
  EXPECT_NE(ab.hash, part.hash);
  const auto hash_of = [&](const std::string& name) -> std::optional<std::string> {
    const auto manifest = Find(name);
    return manifest.ok() ? std::optional(manifest->hash) : std::nullopt;
  };
  EXPECT_EQ(UnionHash("union:a,b", hash_of), ab.hash);
  EXPECT_EQ(UnionHash("union:a,missing", hash_of), std::nullopt);
  // As it is sent and stored.
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(ManifestJson(ab)));
  EXPECT_EQ(read.hash, ab.hash);
  EXPECT_EQ(ManifestJson(read), ManifestJson(ab));
  Write("b", 4, 17);
  EXPECT_NE(Find("union:a,b")->hash, ab.hash);
}

TEST_F(UnionTest, GeneratedWorldsAreMembersToo) {
  const std::string world = "strata:universe=1,zo=16,view=8,frames=4";
  const std::string other = "strata:universe=2,zo=16,view=8,frames=4";
  ASSERT_OK_AND_ASSIGN(const UnionName name, ParseUnionName("union:" + world + "," + other));
  EXPECT_THAT(name.members, ElementsAre(world, other));
  const WindowOptions options = {.context = 34, .seed = 3, .heldout_windows = 6};
  ASSERT_OK_AND_ASSIGN(const WindowSources both,
                       OpenDataset(DatasetKind::kUnion, "", UnionText(name), options));
  ASSERT_OK_AND_ASSIGN(const WindowSources alone,
                       OpenDataset(DatasetKind::kGenerated, "", other, options));
  std::vector<int32_t> a(34), b(34), targets(34);
  for (int64_t g = 0; g < 4; ++g) {
    ASSERT_OK(both.train->Fill(2 * g + 1, 1, a, targets));
    ASSERT_OK(alone.train->Fill(g, 1, b, targets));
    EXPECT_EQ(a, b);
  }
  EXPECT_THAT(
      Find("union:share=0.5," + world + "," + other).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is generated and has no end")));
}

TEST_F(UnionTest, MembersThatDifferOnlyInTheirOwnTokensHaveTheirImagesInCommon) {
  Write("other", 4, 5);
  auto manifest = *ReadManifest(folder_.path(), "other");
  manifest.tokenizer = "another";
  manifest.tokenizer_hash = TokenizerHash("another", {});
  ASSERT_OK(WriteFileAtomically(folder_.Path("other/dataset.json"), ManifestJson(manifest)));
  ASSERT_OK_AND_ASSIGN(const Manifest both, Find("union:a,other"));
  EXPECT_TRUE(HasImagesAlone(both));
  EXPECT_FALSE(HasImagesAlone(*Find("union:a,b")));
  // One token for the observation and two for the actions.
  ASSERT_OK_AND_ASSIGN(const WindowSources sources,
                       OpenDataset(both.kind, folder_.path(), both.name, {6, 1, 4}));
  ASSERT_OK_AND_ASSIGN(const WindowSources alone,
                       OpenDataset(DatasetKind::kTrajectories, folder_.path(), "other", {8, 1, 2}));
  std::vector<uint8_t> images(8), expected(8);
  ASSERT_OK(sources.train->FillImages(5, 1, images));
  ASSERT_OK(alone.train->FillImages(2, 1, expected));
  EXPECT_EQ(images, expected);
  std::vector<int32_t> inputs(6), targets(6);
  EXPECT_THAT(sources.train->Fill(0, 1, inputs, targets),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("own tokens differ")));
}

TEST_F(UnionTest, MembersThatDoNotFitAreNamedWithTheFieldAndBothValues) {
  Write("long", 4, 5, 8);
  Write("wide", 4, 5, 7, 4);
  Write("blind", 4, 5, 7, 0);
  Write("blind-too", 4, 6, 7, 0);
  auto manifest = *ReadManifest(folder_.path(), "blind-too");
  manifest.tokenizer = "another";
  manifest.tokenizer_hash = TokenizerHash("another", {});
  ASSERT_OK(WriteFileAtomically(folder_.Path("blind-too/dataset.json"), ManifestJson(manifest)));
  const auto refused = [&](const std::string& text, const std::string& said) {
    const absl::Status status = Find(text).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(HasSubstr(said), HasSubstr("dataset '" + text + "'"))))
        << text << ": " << status;
  };
  refused("union:a,long",
          "member long has frames.frames_per_episode '8', and member a has '7': all must");
  refused("union:a,b,wide", "member wide has frames.image_height '4', and member a has '2'");
  refused("union:a,blind", "member blind has frames.image_height '0', and member a has '2'");
  refused("union:blind,blind-too", "member blind-too has tokenizer 'another', and member blind");
  refused("union:a,strata:zo=16", "member strata:zo=16 has frames.tokens_per_action '1'");
}

TEST_F(UnionTest, NamesThatAreWrongSayWhatIsAllowed) {
  const auto refused = [&](const std::string& text, const std::string& said) {
    EXPECT_THAT(Find(text).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(said)))
        << text;
  };
  refused("union:a", "fewer than two members");
  refused("union:", "name ''");
  refused("union:a,,b", "name ''");
  refused("union:a,b,a", "member 'a' is there twice");
  refused("union:a,../b", "allowed is union:NAME,NAME,...");
  refused("union:a,..", "name '..'");
  refused("union:a,union:b,c", "member 'union:b': allowed are stored datasets and generated ones");
  refused("union:a,external:x,tokens=5", "member 'external:x,tokens=5'");
  refused("union:a,outcome", "heldout_outcome");
  refused("union:a,b,share=0.5", "'share=0.5' after member 'b'");
  refused("union:share=0,a,b", "share=0: allowed is more than 0");
  refused("union:share=nan,a,b", "share=nan");
  refused("union:share=2,a,b", "share=2");
  refused("union:part=1,a,b", "'part=1': allowed before the members are share=PART and only=");
  refused("union:only=d,a,b", "only=d is none of the members: a, b");
  refused("union:only=a,only=b,a,b", "'only=b'");
  refused("union:a," + std::string(111, 'x'), "111 characters: allowed are up to 110");
  EXPECT_THAT(Find("union:a,missing").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("dataset 'missing' is not in")));
}

// What comes from elsewhere is checked against itself.
TEST_F(UnionTest, AManifestThatContradictsItsNameIsRefused) {
  const Manifest good = *Find("union:a,b");
  const auto refused = [&](const std::string& said, const std::function<void(Manifest&)>& change) {
    Manifest manifest = good;
    change(manifest);
    EXPECT_THAT(ParseManifest(ManifestJson(manifest)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(said)));
  };
  refused("members are a: allowed are those of the name",
          [](Manifest& manifest) { manifest.members.pop_back(); });
  refused("members are b, a",
          [](Manifest& manifest) { std::swap(manifest.members[0], manifest.members[1]); });
  refused("the members that are read have",
          [](Manifest& manifest) { manifest.unique_tokens += 28; });
  refused("not whole episodes of 28",
          [](Manifest& manifest) { manifest.members[0].heldout_tokens += 1; });
  refused("16 hexadecimal digits", [](Manifest& manifest) { manifest.members[0].hash = "ff"; });
  refused("they are the same dataset",
          [](Manifest& manifest) { manifest.members[0].hash = manifest.members[1].hash; });
  refused("members has 2 entries: a trajectories dataset has none", [](Manifest& manifest) {
    manifest.kind = DatasetKind::kTrajectories;
    manifest.name = "ab";
  });
}

}  // namespace
}  // namespace allometry::data
