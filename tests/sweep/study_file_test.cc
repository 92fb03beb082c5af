#include "coordinator/sweep/study_file.h"

#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/sweep_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kStudy[] = R"(name: char
title: Character ablation
datasets: [text corpus --name c]
sweeps: [dense, super]
rows:
  - {target: 9, quantity: a, sweep: dense, paper: 0.63, source: section 5.1, accept: [0.40, 0.95]}
  - {what: the fall, quantity: a, sweep: dense, objective: lsq, minus: {sweep: super}, accept: {least: 0.3}}
  - {quantity: loss_gap, sweep: dense, withhold: [158k]}
  - {quantity: regime, sweep: dense, budget_tokens: 2M, accept: [monotone, classical]}
  - {what: paper scale, plan: [{preset: wm-256/894M, tokens: 295G}]}
  - {what: RT-1, cannot: the robot data are not public, paper: "R .61"}
)";

TEST(StudyFileTest, ATermReadsTheLossOfAMemberOfAUnion) {
  const auto with_series = [](const std::string& series) {
    return ParseStudyFile(absl::StrCat("name: games\nsweeps: [joint]\nrows:\n  - {quantity: "
                                       "regime, sweep: joint, series: ",
                                       series, "}\n"),
                          "games.yaml");
  };
  ASSERT_OK_AND_ASSIGN(const Study study, with_series("heldout_boxing"));
  EXPECT_EQ(study.rows[0].term->series, "heldout_boxing");
  EXPECT_THAT(with_series("grad_norm").status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("games.yaml:4: series grad_norm is no loss: heldout, train and")));
}

TEST(StudyFileTest, ReadsEveryKindOfRow) {
  ASSERT_OK_AND_ASSIGN(const Study study, ParseStudyFile(kStudy, "char.yaml"));
  EXPECT_EQ(study.name, "char");
  EXPECT_THAT(study.datasets, ElementsAre("text corpus --name c"));
  EXPECT_THAT(study.sweeps, ElementsAre("dense", "super"));
  ASSERT_EQ(study.rows.size(), 6u);

  const StudyRow& plain = study.rows[0];
  EXPECT_EQ(plain.line, 6);
  EXPECT_EQ(plain.what, "a of dense");
  EXPECT_EQ(plain.paper, "0.63");
  EXPECT_EQ(plain.term->method, "parametric");
  EXPECT_EQ(plain.term->objective, "huber");
  EXPECT_EQ(*plain.low, 0.40);
  EXPECT_EQ(*plain.high, 0.95);

  // The second term is the first with another sweep.
  const StudyRow& fall = study.rows[1];
  EXPECT_EQ(fall.what, "the fall");
  EXPECT_EQ(fall.minus->sweep, "super");
  EXPECT_EQ(fall.minus->quantity, "a");
  EXPECT_EQ(fall.minus->objective, "lsq");
  EXPECT_EQ(*fall.low, 0.3);
  EXPECT_FALSE(fall.high);

  EXPECT_EQ(study.rows[2].term->kind, StudyQuantity::kExtrapolated);
  EXPECT_THAT(study.rows[2].term->withhold, ElementsAre("158k"));
  EXPECT_EQ(study.rows[3].term->budget_tokens, 2e6);
  EXPECT_THAT(study.rows[3].words, ElementsAre("monotone", "classical"));
  EXPECT_EQ(study.rows[5].cannot, "the robot data are not public");
}

// TARGETS row 2: 894M at 1.58e21 FLOPs are 295G tokens.
TEST(StudyFileTest, PlansArePricedByThePresetsArithmetic) {
  ASSERT_OK_AND_ASSIGN(const Study study, ParseStudyFile(kStudy, "char.yaml"));
  ASSERT_EQ(study.rows[4].plan.size(), 1u);
  const StudyPlan& plan = study.rows[4].plan[0];
  EXPECT_NEAR(plan.params, 894.31e6, 0.01e6);
  EXPECT_NEAR(plan.flops_6nd, 1.58e21, 0.01e21);
  EXPECT_GT(plan.flops_exact, plan.flops_6nd);
}

TEST(StudyFileTest, TheLastValueOfASeriesNeedsItsNameAndOneSize) {
  const auto row = [](const std::string& keys) {
    return ParseStudyFile(
        "name: x\nsweeps: [dream]\nrows:\n  - {quantity: last, sweep: dream" + keys + "}\n",
        "x.yaml");
  };
  ASSERT_OK_AND_ASSIGN(const Study study, row(", metric: s_ern, sizes: [2x64 real]"));
  EXPECT_EQ(study.rows[0].term->kind, StudyQuantity::kLast);
  EXPECT_THAT(study.rows[0].term->sizes, ElementsAre("2x64 real"));
  EXPECT_THAT(row(", sizes: [a]").status().message(),
              HasSubstr("x.yaml:4: quantity last needs metric"));
  EXPECT_THAT(row(", metric: s_ern").status().message(),
              HasSubstr("quantity last needs sizes, one"));
  EXPECT_THAT(row(", metric: s_ern, sizes: [a, b]").status().message(), HasSubstr("sizes, one"));
}

TEST(StudyFileTest, EveryMistakeIsToldWithItsLine) {
  const std::string bad = R"(name: bad
sweeps: [dense]
rows:
  - {quantity: alfa, sweep: dense}
  - {quantity: a, sweep: sparse}
  - {quantity: a, sweep: dense, acept: [0, 1]}
  - {quantity: a, sweep: dense, accept: [1, 0]}
  - {quantity: loss, sweep: dense}
  - {quantity: log10_params, sweep: dense}
  - {quantity: a, sweep: dense, minus: {quantity: b}}
  - {quantity: c, sweep: dense}
  - {quantity: a, sweep: dense, cannot: because}
  - {what: nothing}
  - {plan: [{preset: wm-256/895M, tokens: 1G}]}
  - {quantity: regime, sweep: dense, accept: [monoton]}
  - {quantity: a, sweep: dense, accept: {}}
  - {quantity: a, sweep: dense, law: fixed-floor}
)";
  const absl::Status status = ParseStudyFile(bad, "bad.yaml").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bad.yaml:4: ")));
  const std::string message(status.message());
  EXPECT_THAT(message, AllOf(HasSubstr("bad.yaml:5: sweep sparse is not one of the study's: dense"),
                             HasSubstr("bad.yaml:6: unknown key acept: did you mean accept?"),
                             HasSubstr("bad.yaml:7: accept: 1 is not below 0"),
                             HasSubstr("bad.yaml:8: quantity loss needs at"),
                             HasSubstr("bad.yaml:9: quantity log10_params needs withhold"),
                             HasSubstr("bad.yaml:10: both terms are of sweep dense"),
                             HasSubstr("bad.yaml:11: quantity c is of method loss-compute")));
  EXPECT_THAT(message, AllOf(HasSubstr("bad.yaml:12: a row has one of"),
                             HasSubstr("bad.yaml:13: a row has one of"), HasSubstr("bad.yaml:14: "),
                             HasSubstr("bad.yaml:15: "), HasSubstr("bad.yaml:16: "),
                             HasSubstr("bad.yaml:17: law fixed-floor and floor")));
}

TEST(StudyFileTest, WhatIsNoStudyIsRefused) {
  for (const char* text : {"", "[]", "name: x", "rows: [", "name: a\nrows: []", "a: 1\n---\nb: 2",
                           "rows: {a: b}", "name: [x]\nrows: [3]"}) {
    EXPECT_THAT(ParseStudyFile(text, "x.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.yaml:")))
        << text;
  }
}

// Every study of the repository names sweeps that have files, and no sweep file is forgotten by
// a study that says it compares it.
TEST(StudyFileTest, StudiesOfTheFolderNameSweepsThatExist) {
  const std::string sweeps = std::string(ALLO_SOURCE_DIR) + "/sweeps";
  int files = 0;
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(sweeps + "/studies")) {
    if (entry.path().extension() != ".yaml") continue;
    ASSERT_OK_AND_ASSIGN(const std::string yaml, ReadFile(entry.path().string()));
    ASSERT_OK_AND_ASSIGN(const Study study, ParseStudyFile(yaml, entry.path().filename().string()));
    EXPECT_EQ(study.name + ".yaml", entry.path().filename().string());
    for (const std::string& sweep : study.sweeps) {
      ASSERT_OK_AND_ASSIGN(const std::string text,
                           ReadFile(absl::StrCat(sweeps, "/", sweep, ".yaml")));
      ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(text, sweep));
      EXPECT_EQ(file.name, sweep);
    }
    EXPECT_TRUE(names.insert(study.name).second) << study.name;
    ++files;
  }
  EXPECT_GE(files, 5);
}

}  // namespace
}  // namespace allometry::sweep
