// The output contract: what scripts and notebooks read.
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_split.h"
#include "fitting/law/law_names.h"
#include "fitting/report/fit.h"
#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using Json = nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;

FitOptions Quick() {
  FitOptions options;
  options.resamples = 20;
  options.budgets = {1e21, 1e23};
  return options;
}

Json Parse(const FitReport& report) { return Json::parse(ReportJson(report)); }

TEST(ReportJsonTest, HasEveryKeyOfTheContract) {
  Observations sweep = CurveSweep(1, 9, 40);
  sweep.Exclude(12, "run 7 diverged");
  const Json json = Parse(FitOrDie(sweep, Quick()));
  EXPECT_EQ(json["fit_id"].get<std::string>().size(), 16u);
  EXPECT_EQ(json["observations"]["used"], 360);
  EXPECT_EQ(json["observations"]["total"], 361);
  EXPECT_EQ(json["observations"]["excluded"][0]["line"], 12);
  EXPECT_EQ(json["observations"]["excluded"][0]["reason"], "run 7 diverged");
  EXPECT_EQ(json["conventions"]["params"], "as given");
  EXPECT_EQ(json["conventions"]["flops"], "6nd");
  ASSERT_EQ(json["fits"].size(), 4u);
  const std::vector<std::string> methods = {"parametric", "frontier", "isoflop", "loss-compute"};
  for (size_t i = 0; i < methods.size(); ++i) {
    const Json& fit = json["fits"][i];
    EXPECT_EQ(fit["method"], methods[i]);
    for (const char* key :
         {"law", "objective", "parameters", "interval", "certificate", "refused"}) {
      EXPECT_TRUE(fit.contains(key)) << methods[i] << " " << key;
    }
    for (const char* key : {"name", "delta", "value", "observations"}) {
      EXPECT_TRUE(fit["objective"].contains(key)) << key;
    }
    for (const char* key : {"method", "clusters", "resamples", "refits_at_bounds"}) {
      EXPECT_TRUE(fit["interval"].contains(key)) << key;
    }
    for (const char* key : {"gradient_norm", "starts", "starts_at_optimum", "active_bounds",
                            "condition_number", "flat_directions"}) {
      EXPECT_TRUE(fit["certificate"].contains(key)) << key;
    }
    EXPECT_TRUE(fit["refused"].is_null()) << fit["refused"];
  }
  for (const char* name : {"E", "A", "B", "alpha", "beta", "a", "b"}) {
    const Json& parameter = json["fits"][0]["parameters"][name];
    for (const char* key : {"estimate", "lower", "upper", "df"}) {
      EXPECT_TRUE(parameter.contains(key)) << name << " " << key;
    }
    EXPECT_LE(parameter["lower"].get<double>(), parameter["estimate"].get<double>()) << name;
    EXPECT_GE(parameter["upper"].get<double>(), parameter["estimate"].get<double>()) << name;
  }
  ASSERT_EQ(json["predictions"].size(), 8u);
  for (const Json& prediction : json["predictions"]) {
    for (const char* key : {"params", "tokens", "loss"}) {
      for (const char* bound : {"estimate", "lower", "upper"}) {
        EXPECT_TRUE(prediction[key].contains(bound)) << key << bound;
      }
    }
    EXPECT_TRUE(prediction["decades_outside"].is_number());
  }
  EXPECT_EQ(json["predictions"][0]["flops"], 1e21);
  EXPECT_FALSE(json["agreement"].empty());
}

TEST(ReportJsonTest, DoublesRoundTrip) {
  const FitReport report = FitOrDie(Chinchilla240(), Quick());
  const Json json = Parse(report);
  const MethodFit& fit = report.fits.front();
  for (const NamedEstimate& parameter : fit.parameters) {
    EXPECT_EQ(json["fits"][0]["parameters"][parameter.name]["estimate"].get<double>(),
              *parameter.value.estimate);
  }
  EXPECT_EQ(json["fits"][0]["objective"]["value"].get<double>(), *fit.objective.value);
}

TEST(ReportJsonTest, LabelsThatAreNotUtf8DoNotBreakIt) {
  Observations sweep = CurveSweep(1, 6, 20);
  sweep.params_policy = "\xff";
  sweep.Exclude(3, "reason \xc3\x28");
  const Json json = Parse(FitOrDie(sweep, Quick()));
  EXPECT_EQ(json["conventions"]["params"], "(not UTF-8 text)");
}

TEST(FitIdTest, DoesNotDependOnTheOrderOfObservations) {
  const Observations sweep = CurveSweep(3, 8, 25);
  std::vector<Observation> points = sweep.points();
  std::shuffle(points.begin(), points.end(), std::mt19937(1));
  Observations shuffled;
  for (const Observation& point : points) shuffled.Add(point, sweep.runs()[point.run]);
  EXPECT_EQ(ReportJson(FitOrDie(sweep, Quick())), ReportJson(FitOrDie(shuffled, Quick())));
}

TEST(FitIdTest, ChangesWithDataLabelsOptionsAndSeedButNotThreads) {
  FitOptions options = Quick();
  options.method = Method::kParametric;
  const Observations sweep = CurveSweep(3, 8, 25);
  std::vector<std::string> ids = {FitOrDie(sweep, options).fit_id};
  FitOptions threads = options;
  threads.threads = 2;
  EXPECT_EQ(FitOrDie(sweep, threads).fit_id, ids[0]);
  FitOptions other = options;
  other.seed = 1;
  ids.push_back(FitOrDie(sweep, other).fit_id);
  other = options;
  other.delta = 2e-3;
  ids.push_back(FitOrDie(sweep, other).fit_id);
  other = options;
  other.objective = ObjectiveKind::kLad;
  ids.push_back(FitOrDie(sweep, other).fit_id);
  other = options;
  other.budgets = {1e21};
  ids.push_back(FitOrDie(sweep, other).fit_id);
  Observations changed, relabelled;
  for (const Observation& point : sweep.points()) {
    Observation moved = point;
    if (changed.used() == 7) moved.loss = std::nextafter(moved.loss, 10.0);
    changed.Add(moved, sweep.runs()[point.run]);
    relabelled.Add(point, sweep.runs()[point.run] + "x");
  }
  ids.push_back(FitOrDie(changed, options).fit_id);
  ids.push_back(FitOrDie(relabelled, options).fit_id);
  for (size_t i = 0; i < ids.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(ids[i], ids[j]) << i << " " << j;
  }
}

TEST(AgreementTest, DifferencesComeWithIntervalsFromTheSameSweeps) {
  FitOptions options = Quick();
  options.resamples = 200;
  const FitReport report = FitOrDie(CurveSweep(5), options);
  ASSERT_FALSE(report.agreement.empty());
  const Agreement& a = report.agreement.front();
  EXPECT_EQ(a.quantity, "a");
  ASSERT_EQ(a.estimates.size(), 3u);
  ASSERT_EQ(a.differences.size(), 3u);
  for (const Difference& difference : a.differences) {
    ASSERT_TRUE(difference.lower && difference.covers_zero);
    EXPECT_EQ(*difference.covers_zero, *difference.lower <= 0 && *difference.upper >= 0);
  }
  // The same errors move both methods: the difference is known better than either.
  const double width = *a.differences[0].upper - *a.differences[0].lower;
  double independent = 0;
  for (int k : {0, 1}) {
    const double own = *a.estimates[k].value.upper - *a.estimates[k].value.lower;
    independent += own * own;
  }
  EXPECT_LT(width, std::sqrt(independent));
}

// Embeddings in or out of N move the exponent: the report shows both and that they differ.
TEST(AgreementTest, ShowsTheExponentUnderEveryCountAndCostOfTheData) {
  Observations sweep;
  std::vector<double> nonembedding;
  for (Observation point : CurveSweep(5).points()) {
    point.flops = 40 * std::pow(point.params, 0.9) * point.tokens;
    sweep.Add(point, std::to_string(point.run));
    nonembedding.push_back(std::pow(point.params, 1.3) * 1e-3);
  }
  sweep.AddAlternative("non-embedding", nonembedding);
  FitOptions options;
  options.resamples = 40;
  const FitReport report = FitOrDie(sweep, options);
  const Agreement& a = report.agreement.front();
  std::map<std::pair<std::string, std::string>, double> parametric;
  for (const MethodEstimate& one : a.estimates) {
    if (one.method == "parametric") {
      parametric[{one.params_policy, one.flops_convention}] = *one.value.estimate;
    }
  }
  ASSERT_EQ(parametric.size(), 4u);
  EXPECT_NEAR((parametric[{"as given", "6nd"}]), 0.4516, 0.006);
  EXPECT_NEAR((parametric[{"as given", "data"}]), 0.28 / (0.34 + 0.9 * 0.28), 0.007);
  // ln N' = 1.3 ln N + const: alpha' = alpha / 1.3.
  EXPECT_NEAR((parametric[{"non-embedding", "6nd"}]), 0.28 / (0.34 / 1.3 + 0.28), 0.007);
  bool differs = false;
  for (const Difference& one : a.differences) {
    differs |= one.covers_zero && !*one.covers_zero &&
               one.second.find("non-embedding") != std::string::npos;
  }
  EXPECT_TRUE(differs);
}

TEST(AgreementTest, TheSameCountUnderTwoNamesIsOneView) {
  Observations sweep = CurveSweep(5, 9, 40);
  std::vector<double> same;
  for (const Observation& point : sweep.points()) same.push_back(point.params);
  sweep.AddAlternative("active", same);
  EXPECT_EQ(FitOrDie(sweep, Quick()).agreement.front().estimates.size(), 3u);
}

TEST(FitTest, EveryRefusalIsAResultInEveryFormat) {
  Observations three;
  for (double params : {1e6, 2e6, 4e6}) {
    Observation point;
    point.params = params, point.tokens = 1e8, point.loss = 3 - 1e-7 * params;
    three.Add(point);
  }
  const FitReport report = FitOrDie(three, Quick());
  ASSERT_EQ(report.fits.size(), 4u);
  for (const MethodFit& fit : report.fits) EXPECT_TRUE(fit.refused) << Name(fit.method);
  EXPECT_TRUE(report.predictions.empty());
  const Json json = Parse(report);
  for (const Json& fit : json["fits"]) EXPECT_TRUE(fit["refused"].is_string());
  EXPECT_THAT(ReportText(report), HasSubstr("REFUSED"));
}

TEST(FitTest, NoObservationsAreAnErrorThatSaysWhy) {
  Observations none;
  none.Exclude(0, "run 1 has no evaluations after warm-up");
  const auto report = Fit(none, {});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("no evaluations after warm-up"));
}

TEST(FitTest, ChinchillasOutliersAreNamedAndKept) {
  FitOptions options;
  options.resamples = 1;
  const MethodFit fit = Parametric(ReadData("chinchilla_svg.csv"), options);
  EXPECT_EQ(fit.objective.observations, 245);
  std::vector<int64_t> lines;
  for (const Outlier& outlier : fit.outliers) lines.push_back(outlier.line);
  for (int64_t line : {2, 3, 4, 5}) EXPECT_THAT(lines, Contains(line));
}

TEST(FitTest, FixedFloorKeepsItWithoutAnInterval) {
  FitOptions options;
  options.law = LawKind::kFixedFloor;
  options.fixed_floor = 1.69;
  options.objective = ObjectiveKind::kLsqLog;
  const MethodFit fit = Parametric(Chinchilla240(), options);
  EXPECT_NEAR(Value(fit, "E"), 1.69, 1e-12);
  EXPECT_FALSE(fit.Find("E")->lower);
  EXPECT_TRUE(fit.Find("alpha")->lower);
  options.fixed_floor = 0;
  EXPECT_EQ(Fit(Chinchilla240(), options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FitTest, CoupledLawReportsGammaAndContainsTheStandardOne) {
  FitOptions options;
  options.law = LawKind::kCoupled;
  options.objective = ObjectiveKind::kLsqLog;
  const MethodFit fit = Parametric(Chinchilla240(), options);
  EXPECT_NEAR(Value(fit, "gamma"), 0.7369, 1e-3);
  EXPECT_LT(*fit.objective.value, 0.0114618869917);
}

TEST(BackTestTest, PredictsTheTopDecadeOfAnExactLaw) {
  FitOptions options = Quick();
  options.method = Method::kParametric;
  const FitReport report = FitOrDie(ReadData("synthetic_chinchilla_noisefree.csv"), options);
  ASSERT_TRUE(report.back_test && !report.back_test->refused);
  EXPECT_EQ(report.back_test->fitted + report.back_test->held_out, 75);
  EXPECT_GT(report.back_test->held_out, 10);
  EXPECT_NEAR(*report.back_test->rms_error, 0, 1e-10);
}

// The quickstart's window spans 1.5 decades: without the top one, half a decade could not judge a
// law.
TEST(BackTestTest, LeavesADecadeToFitWhereTheDataSpanLessThanTwo) {
  FitOptions options = Quick();
  options.method = Method::kParametric;
  options.choose_law = true;
  const FitReport report = FitOrDie(ReadData("quickstart.csv"), options);
  ASSERT_TRUE(report.back_test && !report.back_test->refused);
  EXPECT_NEAR(report.back_test->fitted_decades, 1, 1e-9);
  EXPECT_GE(report.back_test->held_out, 8);
  EXPECT_LE(std::abs(*report.back_test->mean_error), 0.01);  // seen: -.0026
}

TEST(BackTestTest, IsRefusedWhereTooLittleIsLeft) {
  FitOptions options = Quick();
  options.method = Method::kParametric;
  Observations narrow;
  for (const Observation& point : CurveSweep(1).points()) {
    if (point.flops > 1e18 && point.flops < 8e18) narrow.Add(point);
  }
  const FitReport report = FitOrDie(narrow, options);
  ASSERT_TRUE(report.back_test);
  EXPECT_TRUE(report.back_test->refused);
}

TEST(ScoreTest, ComparesAStoredPredictionWithTheRunThatEnded) {
  Prediction prediction;
  prediction.flops = 6e20;
  prediction.params.estimate = 1e9;
  prediction.tokens.estimate = 1e11;
  prediction.loss = {2.5, 2.4, 2.6, std::nullopt};
  Observation run;
  run.params = 2e9, run.tokens = 5e10, run.loss = 2.55;
  const auto score = ScorePrediction(prediction, run);
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_NEAR(score->log10_params, std::log10(2.0), 1e-12);
  EXPECT_NEAR(score->log10_tokens, -std::log10(2.0), 1e-12);
  EXPECT_NEAR(score->loss_error, 0.05, 1e-12);
  EXPECT_TRUE(*score->loss_inside);
  run.tokens = 5e11;
  EXPECT_EQ(ScorePrediction(prediction, run).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ReportTextTest, FitsInAHundredColumns) {
  Observations sweep = CurveSweep(1, 9, 40);
  sweep.Exclude(1234567, std::string(300, 'x') + " and " + std::string(300, 'y'));
  sweep.AddNote("a note that is rather long " + std::string(200, 'z'));
  for (const std::string& text :
       {ReportText(FitOrDie(sweep, Quick())), ReportText(FitOrDie(Chinchilla240(), Quick()))}) {
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      EXPECT_LE(line.size(), 100u) << line;
    }
  }
  const std::string text = ReportText(FitOrDie(sweep, Quick()));
  EXPECT_THAT(text, HasSubstr("used 360 of 361"));
  EXPECT_THAT(text, HasSubstr("line 1234567"));
}

TEST(OptionsTest, WrongNamesListTheAllowedOnes) {
  EXPECT_THAT(std::string(ParseMethod("magic").status().message()),
              HasSubstr("allowed are all, parametric, frontier, isoflop, loss-compute"));
  EXPECT_THAT(std::string(ParseLaw("x").status().message()),
              HasSubstr("standard, coupled, no-floor, fixed-floor"));
  EXPECT_THAT(std::string(ParseObjective("x").status().message()),
              HasSubstr("huber, lsq-log, lsq, lad"));
  EXPECT_THAT(std::string(ParseCluster("x").status().message()), HasSubstr("params, run, none"));
  EXPECT_FALSE(ParseBudgets("1e21,,").ok());
  EXPECT_FALSE(ParseBudgets("-1").ok());
  EXPECT_FALSE(ParseBudgets("inf").ok());
  EXPECT_THAT(*ParseBudgets("1e21, 3e22"), ::testing::ElementsAre(1e21, 3e22));
}

}  // namespace
}  // namespace allometry::fitting
