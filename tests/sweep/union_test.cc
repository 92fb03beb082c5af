// Sweeps of unions: one tokenizer for all of them, and what is refused before anything runs.
#include <algorithm>
#include <string>

#include "data/generated.h"
#include "gmock/gmock.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/frame_dataset.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kSweep[] = R"(name: demo
dataset: "union:a,b"
model: {frames: 2, sizes: [5k]}
training: {batch_sequences: 16, objective: observation, warmup_steps: 10, learning_rate: 3e-3}
budgets: {tokens: [20k]}
max_epochs: 1000
)";
constexpr char kTokenizer[] =
    R"(tokenizer: {grid: 4, codebook: 32, width: 16, steps: 200, learning_rate: 2e-3}
)";

class UnionTest : public ::testing::Test {
 protected:
  UnionTest() {
    for (const auto& [name, episodes] : {std::pair("a", 20), {"b", 10}}) {
      EXPECT_OK(
          testing::WriteFrameDataset(folder_.path(), name, episodes, 8, 16, episodes).status());
    }
  }
  absl::StatusOr<Expansion> ExpandOf(const std::string& dataset, std::string yaml) {
    yaml = SweepWith("union:a,b", dataset, yaml);
    const auto manifest = data::FindManifest(folder_.path(), dataset);
    EXPECT_OK(manifest.status());
    // As it arrives at the coordinator.
    return ExpandText(yaml, *data::ParseManifest(data::ManifestJson(*manifest)));
  }
  testing::TemporaryFolder folder_;
};

TEST_F(UnionTest, AllSweepsOfTheMembersHaveOneTokenizer) {
  const std::string yaml = std::string(kSweep) + kTokenizer;
  ASSERT_OK_AND_ASSIGN(const Expansion all, ExpandOf("union:a,b", yaml));
  ASSERT_EQ(all.runs.size(), 2u);
  EXPECT_EQ(all.runs[0].spec().identity().dataset(), "union:a,b");
  EXPECT_EQ(all.runs[0].spec().identity().dataset_hash(),
            all.runs[1].spec().identity().dataset_hash());
  for (const char* dataset : {"union:only=a,a,b", "union:share=0.5,a,b"}) {
    ASSERT_OK_AND_ASSIGN(const Expansion other, ExpandOf(dataset, yaml));
    EXPECT_EQ(other.runs[0].key(), all.runs[0].key()) << dataset;
    EXPECT_NE(other.runs[1].key(), all.runs[1].key()) << dataset;
    EXPECT_EQ(other.runs[1].spec().identity().dataset(), dataset);
  }
  ASSERT_OK_AND_ASSIGN(const Expansion turned, ExpandOf("union:b,a", yaml));
  EXPECT_NE(turned.runs[0].key(), all.runs[0].key());
}

TEST_F(UnionTest, EpochsCountTheSmallestMember) {
  // 16 windows of two frames an update, 157 updates; b has 4 x 10 windows, half of all are its.
  ASSERT_OK_AND_ASSIGN(const Expansion all, ExpandOf("union:a,b", kSweep));
  const double updates = static_cast<double>(all.cells[0].step());
  EXPECT_DOUBLE_EQ(all.cells[0].epochs(), updates * 16 / 2 / 40);
  ASSERT_OK_AND_ASSIGN(const Expansion one, ExpandOf("union:only=a,a,b", kSweep));
  EXPECT_DOUBLE_EQ(one.cells[0].epochs(), updates * 16 / 80);
  EXPECT_THAT(
      ExpandOf("union:a,b", SweepWith("max_epochs: 1000", "max_epochs: 30", kSweep)).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than max_epochs 30")));
}

TEST_F(UnionTest, WhatCannotBeReadIsRefused) {
  EXPECT_THAT(ExpandOf("union:a,b", std::string(kSweep) + "evaluation: {windows: 1}\n").status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("evaluation.windows 1 for 2 members")));
  EXPECT_THAT(ExpandOf("union:a,b", SweepWith("frames: 2", "frames: 9", kSweep)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("frames 9 are more than an episode of dataset union:a,b has: 8")));
  auto manifest = *data::ReadManifest(folder_.path(), "b");
  manifest.tokenizer = "another";
  manifest.tokenizer_hash = data::TokenizerHash("another", {});
  ASSERT_OK(WriteFileAtomically(folder_.Path("b/dataset.json"), data::ManifestJson(manifest)));
  EXPECT_THAT(ExpandOf("union:a,b", kSweep).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("give a section tokenizer")));
  EXPECT_OK(ExpandOf("union:a,b", std::string(kSweep) + kTokenizer).status());
}

}  // namespace
}  // namespace allometry::sweep
