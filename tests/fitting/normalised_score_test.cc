// TARGETS row 7. data/atari100k.csv: the 26 games of Atari 100k with the scores of a random agent
// and a person, and of six methods, as published with TWM (Robine et al. 2023), typed in. The
// paper's own means and medians are the check of the typing and of the arithmetic at once.
#include "fitting/report/normalised_score.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fitting/test_data.h"
#include "tests/testing/status_matchers.h"

namespace allometry::fitting {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

// Columns by name.
std::map<std::string, std::vector<double>> Table() {
  const auto text = ReadFile(DataPath("atari100k.csv"));
  EXPECT_OK(text.status());
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  const std::vector<std::string> names = absl::StrSplit(lines[0], ',');
  std::map<std::string, std::vector<double>> columns;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> fields = absl::StrSplit(lines[i], ',');
    for (size_t k = 1; k < names.size(); ++k) {
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(fields.at(k), &value)) << lines[i];
      columns[names[k]].push_back(value);
    }
  }
  return columns;
}

ScoreSummary Human(const std::map<std::string, std::vector<double>>& table,
                   const std::string& method) {
  std::vector<GameScore> games;
  for (size_t i = 0; i < table.at(method).size(); ++i) {
    games.push_back({table.at(method)[i], table.at("random")[i], table.at("human")[i]});
  }
  auto summary = NormaliseScores(games);
  EXPECT_OK(summary.status());
  return *std::move(summary);
}

TEST(NormalisedScoreTest, PublishedMeansAndMediansFollowFromTheTable) {
  const auto table = Table();
  ASSERT_EQ(table.at("random").size(), 26u);
  struct {
    const char* method;
    double mean, median;
  } const kPublished[] = {{"der", .350, .189}, {"curl", .261, .092},   {"drq", .465, .313},
                          {"spr", .616, .396}, {"simple", .332, .134}, {"twm", .956, .505}};
  for (const auto& row : kPublished) {
    const ScoreSummary summary = Human(table, row.method);
    EXPECT_NEAR(summary.mean, row.mean, 0.001) << row.method;
    EXPECT_NEAR(summary.median, row.median, 0.001) << row.method;
  }
  EXPECT_EQ(Human(table, "twm").above_reference, 8);
}

TEST(NormalisedScoreTest, APersonIsOneAndARandomAgentZero) {
  const auto table = Table();
  EXPECT_NEAR(Human(table, "human").mean, 1, 1e-12);
  EXPECT_NEAR(Human(table, "human").median, 1, 1e-12);
  EXPECT_EQ(Human(table, "random").mean, 0);
}

// An expert above a person in one game and below in another: s_ern is not the human-normalised one.
TEST(NormalisedScoreTest, ExpertsAreAnotherScaleThanPeople) {
  ASSERT_OK_AND_ASSIGN(const ScoreSummary human,
                       NormaliseScores({{10, 0, 20}, {10, 0, 20}, {5, -5, 15}}));
  ASSERT_OK_AND_ASSIGN(const ScoreSummary expert,
                       NormaliseScores({{10, 0, 10}, {10, 0, 40}, {5, -5, 3}}));
  EXPECT_NEAR(human.median, 0.5, 1e-12);
  EXPECT_NEAR(expert.normalised[0], 1, 1e-12);
  EXPECT_NEAR(expert.normalised[1], 0.25, 1e-12);
  EXPECT_NEAR(expert.normalised[2], 1.25, 1e-12);
  EXPECT_NEAR(expert.mean, 2.5 / 3, 1e-12);
  EXPECT_NEAR(expert.median, 1, 1e-12);
  EXPECT_EQ(expert.above_reference, 1);
}

TEST(NormalisedScoreTest, AScaleOfNothingIsRefused) {
  EXPECT_THAT(NormaliseScores({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(NormaliseScores({{1, 0, 2}, {1, 3, 3}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("game 2")));
}

}  // namespace
}  // namespace allometry::fitting
