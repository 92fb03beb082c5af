// A study's table from fits and curves that a coordinator might have answered.
#include "cli/study_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::cli {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

// One parametric fit a sweep; curves by formula.
class FakeSource : public StudySource {
 public:
  std::map<std::string, std::string> fits, csv, predictions;
  std::map<std::string, v1::GetSweepResponse> sweeps;
  std::map<std::string, std::vector<v1::Curve>> curves;  // by "SWEEP SERIES"
  absl::Status down;

  void AddFit(const std::string& sweep, double a, double lower, double upper,
              const std::string& refused = "") {
    fits[sweep] = absl::StrFormat(
        R"({"fit_id":"id-%s","fits":[{"method":"parametric","refused":%s,
            "parameters":{"a":{"estimate":%g,"lower":%g,"upper":%g}},"interval":{"reason":null}}],
            "predictions":[{"method":"parametric","flops":1e15,"decades_outside":2,
            "loss":{"estimate":1.5,"lower":1.4,"upper":1.6}}],
            "extrapolations":[{"size":"600k","method":"parametric","above_line":true,
            "log10_params":{"estimate":0.05,"lower":-0.1,"upper":0.12},"decades_outside":0.5}]})",
        sweep, refused.empty() ? "null" : "\"" + refused + "\"", a, lower, upper);
    v1::Sweep& known = *sweeps[sweep].mutable_sweep();
    known.set_cells(4);
    known.set_cells_done(4);
  }

  absl::StatusOr<std::string> Fit(const sweep::StudyTerm& term) override {
    return Find(fits, term.sweep);
  }
  absl::StatusOr<std::string> Observations(const sweep::StudyTerm& term) override {
    return Find(csv, term.sweep);
  }
  absl::StatusOr<std::string> Predictions(const std::string& sweep) override {
    return Find(predictions, sweep);
  }
  absl::StatusOr<v1::GetCurvesResponse> Curves(const std::string& sweep, const std::string& series,
                                               const std::vector<int64_t>& run_ids) override {
    v1::GetCurvesResponse response;
    for (const v1::Curve& curve : curves[sweep + " " + series]) {
      if (std::count(run_ids.begin(), run_ids.end(), curve.run_id()) > 0) {
        *response.add_curves() = curve;
      }
    }
    return response;
  }
  absl::StatusOr<v1::GetSweepResponse> Sweep(const std::string& name) override {
    return Find(sweeps, name);
  }

 private:
  template <class T>
  absl::StatusOr<T> Find(const std::map<std::string, T>& from, const std::string& name) {
    if (!down.ok()) return down;
    const auto found = from.find(name);
    if (found == from.end()) {
      return absl::NotFoundError("there is no sweep '" + name + "': dense, super");
    }
    return found->second;
  }
};

StudyReport ReportOf(const std::string& rows, FakeSource& source) {
  const auto study = sweep::ParseStudyFile(
      "name: test\ntitle: A test\nsweeps: [dense, super, cnn]\nrows:\n" + rows, "test.yaml");
  EXPECT_OK(study.status());
  StudyReport report;
  report.study = *study;
  for (const sweep::StudyRow& row : report.study.rows) {
    if (!row.term) {
      report.answers.emplace_back();
      continue;
    }
    const auto answer = AnswerRow(row, source);
    EXPECT_OK(answer.status());
    report.answers.push_back(*answer);
  }
  return report;
}

TEST(StudyReportTest, VerdictsFollowIntervalsAndBands) {
  FakeSource source;
  source.AddFit("dense", 0.56, 0.47, 0.65);
  source.AddFit("super", 0.12, -0.19, 0.43);
  const StudyReport report = ReportOf(
      "  - {quantity: a, sweep: dense, paper: 0.63, accept: [0.40, 0.95]}\n"
      "  - {quantity: a, sweep: super, paper: 0.15, accept: {most: 0.2}}\n"
      "  - {quantity: a, sweep: dense, accept: {least: 0.8}}\n"
      "  - {quantity: a, sweep: dense, minus: {sweep: super}, accept: {least: 0.1}}\n"
      "  - {quantity: a, sweep: dense}\n",
      source);
  const auto verdict = [&](size_t i) { return report.answers[i].judged->verdict; };
  EXPECT_EQ(verdict(0), fitting::Verdict::kWithin);
  EXPECT_EQ(verdict(1), fitting::Verdict::kUndetermined);
  EXPECT_EQ(verdict(2), fitting::Verdict::kOutside);
  EXPECT_EQ(verdict(3), fitting::Verdict::kWithin);
  EXPECT_NEAR(*report.answers[3].ours->value.lower, 0.44 - std::hypot(0.09, 0.31), 1e-12);
  EXPECT_EQ(report.answers[3].ours->fit_ids, "id-dense, id-super");
  EXPECT_FALSE(report.answers[4].judged);
  EXPECT_TRUE(report.HasOutside());

  const std::string text = StudyText(report);
  EXPECT_THAT(text, HasSubstr("0.560 [0.470, 0.650]"));
  EXPECT_THAT(text, HasSubstr("undetermined"));
  EXPECT_THAT(text, HasSubstr("wanted at most 0.200: 0.12 is in the band, its interval reaches"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) EXPECT_LE(line.size(), 100u);
}

TEST(StudyReportTest, RefusedFitsAndMissingSweepsSayWhy) {
  FakeSource source;
  source.AddFit("dense", 0.56, 0.47, 0.65, "bound active: alpha");
  source.sweeps["dense"].mutable_sweep()->set_cells_done(3);
  const StudyReport report = ReportOf(
      "  - {quantity: a, sweep: dense, accept: [0.40, 0.95]}\n"
      "  - {quantity: a, sweep: super, accept: [0.40, 0.95]}\n"
      "  - {what: RT-1, cannot: the robot data are not public}\n",
      source);
  EXPECT_EQ(report.answers[0].judged->verdict, fitting::Verdict::kUndetermined);
  EXPECT_FALSE(report.answers[1].ours);
  EXPECT_FALSE(report.HasOutside());
  const std::string text = StudyText(report);
  EXPECT_THAT(text, HasSubstr("the fit is refused: bound active: alpha"));
  EXPECT_THAT(text, HasSubstr("dense has 3 of 4 cells done"));
  EXPECT_THAT(text, HasSubstr("not run: there is no sweep 'super'"));
  EXPECT_THAT(text, HasSubstr("cannot be run: the robot data are not public"));
  const auto json = StudyJson(report);
  EXPECT_EQ(json["rows"][1]["ours"], nullptr);
  EXPECT_EQ(json["rows"][1]["verdict"], "not run");
  EXPECT_EQ(json["rows"][2]["why_not"], "the robot data are not public");
}

TEST(StudyReportTest, PredictionsAndExtrapolationsAreReadWithTheirDistance) {
  FakeSource source;
  source.AddFit("dense", 0.56, 0.47, 0.65);
  const StudyReport report = ReportOf(
      "  - {quantity: loss, sweep: dense, at: 1e15, accept: [1.3, 1.7]}\n"
      "  - {quantity: log10_params, sweep: dense, withhold: [600k], accept: [-0.15, 0.15]}\n"
      "  - {quantity: log10_params, sweep: dense, withhold: [20k], accept: [-0.15, 0.15]}\n",
      source);
  EXPECT_EQ(report.answers[0].judged->verdict, fitting::Verdict::kWithin);
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("2.00 decades of C beyond"));
  EXPECT_EQ(report.answers[1].judged->verdict, fitting::Verdict::kWithin);
  EXPECT_THAT(report.answers[1].ours->remark, HasSubstr("above the predicted loss"));
  EXPECT_THAT(report.answers[2].why_not, HasSubstr("no log10_params"));
}

// Three curves of 1 + 1 / steps, by the sweep's scale of tokens.
std::string Curves(double scale) {
  std::string csv = "size,run_id,params,tokens,loss,run\n";
  for (int k = 1; k <= 3; ++k) {
    for (double step = 1; step < 1000; step *= 1.2) {
      absl::StrAppendFormat(&csv, "%dk,%d,%d,%.17g,%.17g,%d\n", k, k, 1000 * k, 1e4 * scale * step,
                            1 + 1 / step, k);
    }
  }
  return csv;
}

TEST(StudyReportTest, WhatWasPredictedFirstIsScored) {
  FakeSource source;
  source.AddFit("dense", 0.5, 0.4, 0.6);
  const std::string score =
      R"({"size":"150k","loss":1.62,"log10_params":0.04,"log10_tokens":-0.04})";
  const auto one = [](const char* id, double loss, const std::string& scored) {
    return absl::StrFormat(
        R"({"fit_id":"%s","method":"parametric","flops":8e12,"why_not":"waits","score":%s,
            "loss":{"estimate":%g,"lower":%g,"upper":%g}})",
        id, scored, loss, loss - 0.1, loss + 0.05);
  };
  source.predictions["dense"] =
      "[" + one("first", 1.6, score) + "," + one("later", 1.62, score) + "]";
  const char* const row =
      "  - {quantity: predicted_gap, sweep: dense, at: 8e12, accept: [-.2, .2]}\n";
  const StudyReport report = ReportOf(row, source);
  ASSERT_TRUE(report.answers[0].ours);
  const Measured& ours = *report.answers[0].ours;
  EXPECT_NEAR(*ours.value.estimate, 0.02, 1e-12);
  EXPECT_NEAR(*ours.value.lower, -0.03, 1e-12);
  EXPECT_NEAR(*ours.value.upper, 0.12, 1e-12);
  EXPECT_EQ(ours.fit_ids, "first");
  EXPECT_THAT(ours.remark, HasSubstr("predicted 1.6000 before, 1.6200 by 150k since"));

  source.predictions["dense"] = "[" + one("first", 1.6, "null") + "]";
  EXPECT_THAT(ReportOf(row, source).answers[0].why_not, HasSubstr("no score: waits"));
  source.predictions["dense"] = "[]";
  EXPECT_THAT(ReportOf(row, source).answers[0].why_not,
              HasSubstr("allo predict dense --budget 8e+12"));
}

TEST(StudyReportTest, PlateausCompareUnderBothCountsOfFlops) {
  FakeSource source;
  source.csv["dense"] = Curves(50);
  source.csv["cnn"] = Curves(1);
  for (const char* name : {"dense", "cnn"}) {
    for (int run = 1; run <= 3; ++run) {
      v1::Run& row = *source.sweeps[name].add_runs();
      row.set_run_id(run);
      row.set_flops_per_token_exact((std::string(name) == "cnn" ? 60'000.0 : 6'000.0) * run);
    }
  }
  const StudyReport report = ReportOf(
      "  - {quantity: plateau_flops, sweep: cnn, over: {sweep: dense}, accept: {most: 0.1}}\n"
      "  - {quantity: plateau_flops, flops: exact, sweep: cnn, over: {sweep: dense}}\n"
      "  - {quantity: plateau_flops, sweep: cnn, sizes: [2k]}\n"
      "  - {quantity: plateau_flops, sweep: cnn, sizes: [2k, 9k]}\n",
      source);
  EXPECT_NEAR(*report.answers[0].ours->value.estimate, 0.02, 1e-9);
  EXPECT_NEAR(*report.answers[1].ours->value.estimate, 0.2, 1e-9);
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("plateaus of cnn: 1k 1.00"));
  EXPECT_FALSE(report.answers[2].ours->value.lower);
  EXPECT_EQ(report.answers[3].why_not, "cnn has no size 9k: it has 1k, 2k, 3k");
}

TEST(StudyReportTest, RegimesAreWordsAndRisesAreNumbers) {
  FakeSource source;
  std::string csv = "size,run_id,params,tokens,loss,run\n";
  int run = 0;
  for (int k = 0; k < 4; ++k) {
    for (int seed = 0; seed < 3; ++seed) {
      ++run;
      // Half way monotone; at the end the larger two are worse.
      absl::StrAppendFormat(&csv, "s%d,%d,%d,1000,%g,%d\n", k, run, 1000 << k,
                            3 - 0.5 * k + 0.01 * seed, run);
      absl::StrAppendFormat(&csv, "s%d,%d,%d,4000,%g,%d\n", k, run, 1000 << k,
                            2 + std::abs(k - 1) + 0.01 * seed, run);
    }
  }
  source.csv["dense"] = csv;
  source.sweeps["dense"].mutable_sweep()->set_cells(0);
  const StudyReport report = ReportOf(
      "  - {quantity: regime, sweep: dense, budget_tokens: 1000, accept: [monotone]}\n"
      "  - {quantity: regime, sweep: dense, accept: [monotone]}\n"
      "  - {quantity: worst_rise, sweep: dense, accept: {least: 0.5}}\n"
      "  - {quantity: regime, sweep: dense, budget_tokens: 100k}\n",
      source);
  EXPECT_EQ(report.answers[0].ours->word, "monotone");
  EXPECT_EQ(report.answers[0].judged->verdict, fitting::Verdict::kWithin);
  EXPECT_EQ(report.answers[1].ours->word, "classical");
  EXPECT_EQ(report.answers[1].judged->verdict, fitting::Verdict::kOutside);
  EXPECT_NEAR(*report.answers[2].ours->value.estimate, 1, 1e-9);
  EXPECT_EQ(report.answers[2].judged->verdict, fitting::Verdict::kWithin);
  EXPECT_THAT(report.answers[3].why_not, HasSubstr("within 10 % of 100000 tokens"));
}

TEST(StudyReportTest, PaperScaleIsAPlan) {
  FakeSource source;
  const std::string text =
      StudyText(ReportOf("  - {what: paper scale, target: 29, plan: [{preset: wm-256/894M, tokens: "
                         "295G}, {preset: wm-256/15M, tokens: 10G}]}\n",
                         source));
  EXPECT_THAT(text, HasSubstr("1.58e21 FLOPs by 6ND"));
  EXPECT_THAT(text, HasSubstr("together 1.58e21"));
  EXPECT_THAT(text, Not(HasSubstr("cannot")));
}

TEST(StudyReportTest, WithoutACoordinatorThereIsNoReport) {
  FakeSource source;
  source.down = absl::UnavailableError("refused");
  const auto study = sweep::ParseStudyFile(
      "name: x\nsweeps: [dense]\nrows: [{quantity: a, sweep: dense}]", "x.yaml");
  ASSERT_OK(study.status());
  EXPECT_THAT(AnswerRow(study->rows[0], source), StatusIs(absl::StatusCode::kUnavailable));
}

// Three sizes with a curve each, whose measure follows the loss but for a little.
void AddEvaluations(FakeSource& source) {
  v1::GetSweepResponse& sweep = source.sweeps["dense"];
  for (int size = 0; size < 3; ++size) {
    v1::Run& run = *sweep.add_runs();
    run.set_run_id(10 + size);
    run.set_size(absl::StrCat("size-", size));
    run.set_stage("evaluate");
    run.set_state(v1::RUN_SUCCEEDED);
    v1::Curve loss, accuracy, distance, noise;
    for (v1::Curve* curve : {&loss, &accuracy, &distance, &noise}) {
      curve->set_run_id(run.run_id());
      curve->set_size(run.size());
    }
    for (int i = 0; i < 6; ++i) {
      const double nats = 4.0 - 0.5 * i - 0.2 * size + 0.01 * (i % 2);
      loss.add_x(10 * (i + 1));
      loss.add_y(nats);
      accuracy.add_x(10 * (i + 1));
      accuracy.add_y(1 - 0.2 * nats + 0.01 * ((i + size) % 3));
      distance.add_x(10 * (i + 1));
      distance.add_y(std::exp(nats));
      noise.add_x(10 * (i + 1));
      noise.add_y((i * 5 + size * 3) % 4);
    }
    source.curves["dense heldout"].push_back(loss);
    source.curves["dense token_accuracy_h1"].push_back(accuracy);
    source.curves["dense frechet_inverse"].push_back(distance);
    source.curves["dense noise"].push_back(noise);
  }
}

TEST(StudyReportTest, CorrelationsOfEvaluationsAreJudgedByRAndTheSideOfTheirInterval) {
  FakeSource source;
  AddEvaluations(source);
  const StudyReport report = ReportOf(
      "  - {quantity: correlation, metric: token_accuracy_h1, sweep: dense, accept: {most: -0.7}}\n"
      "  - {quantity: correlation, metric: token_accuracy_h1, sweep: dense, accept: {least: 0.7}}\n"
      "  - {quantity: correlation, metric: frechet_inverse, sweep: dense, accept: {least: 0.7}}\n"
      "  - {quantity: correlation, metric: noise, sweep: dense, accept: {least: 0.7}}\n"
      "  - {quantity: correlation, metric: other, sweep: dense, accept: {least: 0.7}}\n",
      source);
  const auto verdict = [&](size_t i) { return report.answers[i].judged->verdict; };
  EXPECT_EQ(verdict(0), fitting::Verdict::kWithin);
  EXPECT_EQ(verdict(1), fitting::Verdict::kOutside);
  EXPECT_EQ(verdict(2), fitting::Verdict::kWithin);
  EXPECT_NEAR(*report.answers[2].ours->value.estimate, 1, 1e-9);  // of the logarithm
  EXPECT_NE(verdict(3), fitting::Verdict::kWithin);
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("18 checkpoints of 3 sizes; Spearman -"));
  EXPECT_THAT(report.answers[4].why_not, HasSubstr("no checkpoint of dense has a other yet"));
}

// Policies of two teachers and three seeds; `second` of one seed's runs differ by a little.
void AddPolicies(FakeSource& source) {
  v1::GetSweepResponse& sweep = source.sweeps["dense"];
  for (const bool first : {true, false}) {
    for (int seed = 1; seed <= 3; ++seed) {
      v1::Run& run = *sweep.add_runs();
      run.set_run_id((first ? 10 : 20) + seed);
      run.set_size(first ? "2x64 imagination" : "2x64 cloning");
      run.set_stage("policy");
      run.set_state(v1::RUN_SUCCEEDED);
      run.mutable_spec()->mutable_identity()->set_seed(seed);
      v1::Curve score;
      score.set_run_id(run.run_id());
      score.set_size(run.size());
      // A seed shifts both teachers alike, and by more than the teachers differ.
      for (const double at : {60.0, 120.0}) {
        score.add_x(at);
        score.add_y(at == 60 ? 9 : seed + (first ? 0.3 : 0.1) + 0.001 * seed * first);
      }
      source.curves["dense s_ern"].push_back(score);
    }
  }
}

TEST(StudyReportTest, LastValuesAreMeansOverSeedsAndDifferencesArePaired) {
  FakeSource source;
  AddPolicies(source);
  const StudyReport report = ReportOf(
      "  - {quantity: last, metric: s_ern, sizes: [2x64 imagination], sweep: dense,\n"
      "     accept: {least: 0.7}}\n"
      "  - {quantity: last, metric: s_ern, sizes: [2x64 imagination], sweep: dense,\n"
      "     minus: {sizes: [2x64 cloning]}, accept: {least: 0}}\n"
      "  - {quantity: last, metric: s_ern, sizes: [2x64 real], sweep: dense}\n"
      "  - {quantity: last, metric: other, sizes: [2x64 cloning], sweep: dense}\n",
      source);
  const fitting::Estimate& mean = report.answers[0].ours->value;
  EXPECT_NEAR(*mean.estimate, 2.302, 1e-9);
  // Values 1.301, 2.302, 3.303: s = 1.001, t(2) = 4.30265.
  EXPECT_NEAR(*mean.upper - *mean.estimate, 4.302653 * 1.001 / std::sqrt(3), 1e-5);
  EXPECT_EQ(report.answers[0].judged->verdict, fitting::Verdict::kUndetermined);
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("seeds 1, 2, 3: 1.3, 2.3, 3.3"));
  const fitting::Estimate& difference = report.answers[1].ours->value;
  EXPECT_NEAR(*difference.estimate, 0.202, 1e-9);
  EXPECT_NEAR(*difference.upper - *difference.estimate, 4.302653 * 0.001 / std::sqrt(3), 1e-7);
  EXPECT_EQ(report.answers[1].judged->verdict, fitting::Verdict::kWithin);
  EXPECT_THAT(report.answers[1].ours->remark, HasSubstr("a difference for each seed"));
  EXPECT_THAT(report.answers[2].why_not,
              HasSubstr("dense has no size 2x64 real: it has 2x64 cloning, 2x64 imagination"));
  EXPECT_THAT(report.answers[3].why_not, HasSubstr("has a other yet"));
}

TEST(StudyReportTest, OneSeedHasNoIntervalAndUnequalSeedsAreIndependent) {
  FakeSource source;
  AddPolicies(source);
  auto& runs = *source.sweeps["dense"].mutable_runs();
  runs.DeleteSubrange(4, 2);  // one run of cloning is left
  runs.Mutable(3)->set_state(v1::PENDING);
  const StudyReport report = ReportOf(
      "  - {quantity: last, metric: s_ern, sizes: [2x64 cloning], sweep: dense, accept: {least: "
      "0}}\n"
      "  - {quantity: last, metric: s_ern, sizes: [2x64 imagination], sweep: dense,\n"
      "     minus: {sizes: [2x64 cloning]}, accept: {least: 0}}\n",
      source);
  EXPECT_NEAR(*report.answers[0].ours->value.estimate, 1.1, 1e-9);
  EXPECT_FALSE(report.answers[0].ours->value.lower);
  EXPECT_EQ(report.answers[0].judged->verdict, fitting::Verdict::kUndetermined);
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("no interval: one seed"));
  EXPECT_THAT(report.answers[0].ours->remark, HasSubstr("dense has 3 of 4 policies done"));
  EXPECT_NEAR(*report.answers[1].ours->value.estimate, 1.202, 1e-9);
  EXPECT_FALSE(report.answers[1].ours->value.lower);
}

TEST(StudyReportTest, ASweepWithoutEvaluationsAndUnfinishedOnesSayWhy) {
  FakeSource source;
  source.sweeps["super"].mutable_sweep()->set_cells(1);
  AddEvaluations(source);
  source.sweeps["dense"].mutable_runs(0)->set_state(v1::PENDING);
  const StudyReport report = ReportOf(
      "  - {quantity: correlation, metric: token_accuracy_h1, sweep: super}\n"
      "  - {quantity: correlation, metric: token_accuracy_h1, sweep: dense}\n",
      source);
  EXPECT_THAT(report.answers[0].why_not, HasSubstr("no section evaluate"));
  EXPECT_THAT(report.answers[1].ours->remark, HasSubstr("dense has 2 of 3 evaluations done"));
}

}  // namespace
}  // namespace allometry::cli
