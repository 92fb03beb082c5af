// Differences of two sweeps, against sweeps with a known truth.
#include "fitting/report/compare.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

FitOptions Quick() {
  FitOptions options;
  options.method = Method::kParametric;
  options.objective = ObjectiveKind::kLsqLog;
  options.law = LawKind::kStandard;
  options.window.kind = WindowKind::kAll;
  options.budgets = {1e21};
  return options;
}

Comparison CompareOrDie(const Observations& first, const Observations& second,
                        const FitOptions& options, bool paired = false) {
  absl::StatusOr<Comparison> comparison = Compare(first, second, options, paired);
  EXPECT_TRUE(comparison.ok()) << comparison.status();
  return *comparison;
}

const ComparedQuantity* Find(const Comparison& comparison, const std::string& quantity,
                             const std::string& method = "parametric") {
  for (const ComparedQuantity& row : comparison.rows) {
    if (row.quantity == quantity && row.method == method) return &row;
  }
  return nullptr;
}

bool Holds(const Estimate& estimate, double value) {
  return estimate.lower && *estimate.lower <= value && value <= *estimate.upper;
}

// Terms f times as large at equal exponents: the same loss takes f^((alpha + beta)/(alpha beta)) of
// the compute, whatever C is.
Truth Worse(double f) {
  Truth truth;
  truth.a_term *= f, truth.b_term *= f;
  return truth;
}
double MultipleOf(double f) {
  const Truth truth;
  return std::pow(f, (truth.alpha + truth.beta) / (truth.alpha * truth.beta));
}

TEST(CompareTest, FindsTheComputeMultiplierOfSweepsWithoutNoise) {
  Design exact;
  exact.noise = 0;
  const Comparison comparison =
      CompareOrDie(GridSweep(1, exact), GridSweep(2, exact, Worse(1.1)), Quick());
  EXPECT_NEAR(*Find(comparison, "compute")->change.estimate, MultipleOf(1.1), 2e-3);
  EXPECT_NEAR(*Find(comparison, "a")->change.estimate, 0, 1e-6);
  EXPECT_NEAR(*Find(comparison, "params")->change.estimate, 1, 1e-5);
  EXPECT_LT(*Find(comparison, "loss")->change.estimate, 0);
}

TEST(CompareTest, IntervalsOfIndependentSweepsHoldTheTruthAndSeeADifference) {
  constexpr int kPairs = 80;
  int a = 0, multiple = 0, seen = 0;
  for (int seed = 0; seed < kPairs; ++seed) {
    Design design;
    const Comparison comparison = CompareOrDie(
        GridSweep(2 * seed, design), GridSweep(2 * seed + 1, design, Worse(1.1)), Quick());
    a += Holds(Find(comparison, "a")->change, 0);
    const ComparedQuantity& compute = *Find(comparison, "compute");
    multiple += Holds(compute.change, MultipleOf(1.1));
    seen += compute.differ.value_or(false);
  }
  // .95 of 80 is 76; fewer than 70 has a chance of .0006.
  EXPECT_GE(a, 70);
  EXPECT_GE(multiple, 70);
  EXPECT_GE(seen, 76) << "a factor of " << MultipleOf(1.1) << " is not missed";
}

// Both sweeps have the same errors: what differs between them is known far better than either.
TEST(CompareTest, PairsUseTheErrorsThatSizesShare) {
  Design design;
  design.shared = 0.01;
  design.noise = 0.001;
  constexpr int kPairs = 40;
  int held = 0, judged = 0;
  double narrower = 0;
  for (int seed = 0; seed < kPairs; ++seed) {
    const Observations first = GridSweep(seed, design);
    // Equal errors by size, small ones of its own.
    Random own(seed, 77);
    Observations second;
    const Truth truth, worse = Worse(1.1);
    for (Observation point : first.points()) {
      point.loss *= worse.Loss(point.params, point.tokens) /
                    truth.Loss(point.params, point.tokens) * std::exp(0.001 * own.Normal());
      second.Add(point);
    }
    const Comparison pairs = CompareOrDie(first, second, Quick(), true);
    const Comparison apart = CompareOrDie(first, second, Quick());
    EXPECT_EQ(pairs.clusters, design.sizes);
    const Estimate& change = Find(pairs, "a")->change;
    const Estimate& wide = Find(apart, "a")->change;
    if (!change.lower || !wide.lower) continue;  // one in twenty has a lack of fit by chance
    ++judged;
    held += Holds(change, 0);
    narrower += (*wide.upper - *wide.lower) / (*change.upper - *change.lower);
  }
  EXPECT_GE(judged, 30);
  EXPECT_GE(held, judged * 0.85) << "of " << judged;
  EXPECT_GT(narrower / judged, 3);
}

TEST(CompareTest, AMethodThatItsDataContradictHasNoInterval) {
  TransientDesign design;
  design.transient = Transient::kAllTokens;
  FitOptions options = Quick();
  options.method = Method::kAll;
  options.resamples = 100;
  const Comparison comparison =
      CompareOrDie(TransientSweep(1, design), TransientSweep(2, design), options);
  const ComparedQuantity* row = Find(comparison, "a");
  ASSERT_NE(row, nullptr);
  ASSERT_TRUE(row->not_usable);
  EXPECT_FALSE(row->change.lower);
  EXPECT_FALSE(row->differ);
  EXPECT_THAT(comparison.verdict, HasSubstr("by frontier a is"));
  EXPECT_THAT(CompareText(comparison, "one", "other"), HasSubstr("Contradiction in A"));
}

// At C inside both nothing contradicts them; at the largest, where the multiplier is looked for
// too, a loss does, and the rows without an interval have their reason in the answer.
TEST(CompareTest, AContradictionElsewhereIsSaidWhereItTakesAnInterval) {
  const Observations data = ReadData("kyo_llm_df.csv");
  FitOptions options;
  options.resamples = 100;
  options.budgets = {1.35e20};
  const Comparison comparison = CompareOrDie(data, data, options);
  const ComparedQuantity* row = Find(comparison, "a");
  ASSERT_NE(row, nullptr);
  ASSERT_TRUE(row->not_usable);
  EXPECT_THAT(comparison.notes, testing::Contains("not usable in B: " + *row->not_usable));
}

TEST(CompareTest, PairsNeedFiveSizesInCommon) {
  Observations few;
  const Observations sweep = GridSweep(1, Design{});
  for (const Observation& point : sweep.points()) {
    Observation moved = point;
    if (point.params > 5e7) moved.params *= 1.01;
    few.Add(moved);
  }
  EXPECT_THAT(Compare(sweep, few, Quick(), true).status().message(),
              HasSubstr("at least 5 sizes that both have, and there are "));
}

TEST(CompareTest, BudgetOfNoneIsInsideBothAndOutsideIsSaid) {
  FitOptions options = Quick();
  options.budgets.clear();
  const Observations sweep = GridSweep(1, Design{});
  const Comparison comparison = CompareOrDie(sweep, GridSweep(2, Design{}), options);
  const double flops = *Find(comparison, "params")->flops;
  EXPECT_GT(flops, 6 * 1e7 * 2e7);
  EXPECT_LT(flops, 6 * 3e9 * 200 * 3e9);
  options.budgets = {1e30};
  EXPECT_THAT(CompareOrDie(sweep, sweep, options).notes, testing::Contains(HasSubstr("decades")));
}

TEST(CompareTest, JsonAndTextHaveTheNamesThatThePersonUses) {
  const Comparison comparison =
      CompareOrDie(GridSweep(1, Design{}), GridSweep(2, Design{}, Worse(1.2)), Quick());
  const nlohmann::json json = nlohmann::json::parse(CompareJson(comparison, "base", "new"));
  EXPECT_EQ(json["first"], "base");
  EXPECT_EQ(json["fits"].size(), 2u);
  EXPECT_EQ(json["paired"], false);
  ASSERT_FALSE(json["rows"].empty());
  for (const auto& row : json["rows"]) {
    EXPECT_EQ(row.contains("ratio"), !row.contains("difference"));
    EXPECT_TRUE(row["not_usable"].is_null());
  }
  const std::string text = CompareText(comparison, "base", "new");
  EXPECT_THAT(text, HasSubstr("A: base, 72 points"));
  EXPECT_THAT(text, HasSubstr("B needs this multiple of C for A's loss"));
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 100u) << text.substr(at, end - at);
    at = end + 1;
  }
}

}  // namespace
}  // namespace allometry::fitting
