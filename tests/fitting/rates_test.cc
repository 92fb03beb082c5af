// Laws of the best learning rate and batch size, from runs with a known optimum.
#include "fitting/direct/rates.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::fitting {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ln lr* = ln 0.5 - .25 ln N - .1 ln D + .5 ln(B / 1e5), ln B* = ln 2e5 + .2 ln(D / 1e9): an
// asymmetric valley about each.
struct Valley {
  double noise = 0;
  double Rate(double n, double d, double b) const {
    return 0.5 * std::pow(n, -0.25) * std::pow(d, -0.1) * std::pow(b / 1e5, 0.5);
  }
  double Batch(double d) const { return 2e5 * std::pow(d / 1e9, 0.2); }
  double Loss(double n, double d, double b, double rate, Random& random) const {
    const double u = std::log(rate / Rate(n, d, b)), v = std::log(b / Batch(d));
    const double base = 1.7 + 400 * std::pow(n, -0.34) + 400 * std::pow(d, -0.28);
    return base * (1 + 0.01 * u * u + 0.001 * u * u * u + 0.008 * v * v) *
           std::exp(noise * random.Normal());
  }
};

RateTable Grid(const Valley& valley, const std::vector<double>& batches, uint64_t seed = 1) {
  RateTable table;
  Random random(seed, 3);
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 3; ++j) {
      const double n = 1e7 * std::pow(2.0, i), d = 1e9 * std::pow(4.0, j);
      for (double b : batches) {
        const double middle = valley.Rate(n, d, b);
        for (int k = -4; k <= 4; ++k) {
          // Rates of one grid for all, as people have them.
          const double rate = 0.01 * std::pow(2.0, k + std::round(std::log2(middle / 0.01)));
          table.runs.push_back({n, d, rate, valley.Loss(n, d, b, rate, random), b, 0});
        }
      }
    }
  }
  return table;
}

const Estimate& Of(const RateLaw& law, const std::string& name) {
  static const Estimate none;
  for (const NamedEstimate& one : law.parameters) {
    if (one.name == name) return one.value;
  }
  ADD_FAILURE() << "no " << name;
  return none;
}

TEST(RatesTest, RecoversTheExponentsOfRateAndBatch) {
  const Valley valley;
  const auto fit = FitRates(Grid(valley, {2.5e4, 5e4, 1e5, 2e5, 4e5, 8e5, 1.6e6}), {1e9});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(*Of(fit->rate, "N").estimate, -0.25, 0.01);
  EXPECT_NEAR(*Of(fit->rate, "D").estimate, -0.1, 0.01);
  EXPECT_NEAR(*Of(fit->rate, "batch").estimate, 0.5, 0.01);
  EXPECT_THAT(fit->rate.left_out, IsEmpty());
  // .01 ln(2)^2 of the loss.
  EXPECT_NEAR(fit->rate.off_by_two, 0.0048, 0.0005);
  const RateLaw::At& at = fit->rate.predictions.at(0);
  EXPECT_NEAR(*at.value.estimate / valley.Rate(at.params, at.tokens, at.batch), 1, 0.05);
  ASSERT_TRUE(fit->batch);
  EXPECT_NEAR(*Of(*fit->batch, "D").estimate, 0.2, 0.02);
  EXPECT_NEAR(*Of(*fit->batch, "N").estimate, 0.0, 0.02);
}

TEST(RatesTest, IntervalsHoldTheTruth) {
  Valley valley;
  valley.noise = 0.001;
  constexpr int kTables = 100;
  int held = 0;
  for (int seed = 0; seed < kTables; ++seed) {
    const auto fit = FitRates(Grid(valley, {1e5}, seed), {});
    ASSERT_TRUE(fit.ok());
    const Estimate& estimate = Of(fit->rate, "N");
    ASSERT_TRUE(estimate.lower);
    held += *estimate.lower <= -0.25 && -0.25 <= *estimate.upper;
  }
  EXPECT_GE(held, 86) << "95 of 100 are expected";
}

TEST(RatesTest, AnEdgeIsNoOptimumAndWhatFollowsNIsNotInTheLaw) {
  RateTable table;
  Random random(1, 1);
  const Valley valley;
  for (double n : {1e7, 2e7, 4e7, 8e7, 1.6e8, 3.2e8}) {
    const double middle = valley.Rate(n, 20 * n, 1e5);
    for (int k = -2; k <= 2; ++k) {
      double rate = middle * std::pow(2.0, k);
      if (n > 3e8) rate *= 16;  // all too large
      table.runs.push_back({n, 20 * n, rate, valley.Loss(n, 20 * n, 1e5, rate, random), 1e5, 0});
    }
  }
  const auto fit = FitRates(table, {});
  ASSERT_TRUE(fit.ok());
  EXPECT_EQ(fit->rate.groups.size(), 5u);
  EXPECT_THAT(fit->rate.left_out, Contains(HasSubstr("is the smallest tried")));
  EXPECT_THAT(fit->rate.without, Contains(HasSubstr("D: it follows N")));
  EXPECT_NEAR(*Of(fit->rate, "N").estimate, -0.35, 0.01);
  EXPECT_FALSE(fit->batch);
  EXPECT_EQ(fit->rate.predictions.at(1).params, 3.2e9);
  EXPECT_THAT(RatesText(*fit), HasSubstr("left out: N 3.20e8"));
}

TEST(RatesTest, SeedsAreAveragedAndFewRatesAreNoGroup) {
  RateTable table;
  for (double rate : {0.001, 0.002, 0.004}) {
    const double u = std::log(rate / 0.002);
    for (double error : {-0.2, 0.2})
      table.runs.push_back({1e7, 1e9, rate, 3 + u * u + error, 0, 0});
  }
  table.runs.push_back({2e7, 1e9, 0.001, 3, 0, 0});
  const auto fit = FitRates(table, {});
  ASSERT_TRUE(fit.ok());
  ASSERT_EQ(fit->rate.groups.size(), 1u);
  EXPECT_EQ(fit->rate.groups[0].tried, 3);
  EXPECT_NEAR(fit->rate.groups[0].best, 0.002, 1e-5);
  EXPECT_THAT(fit->rate.left_out, Contains("1 group of one learning rate"));
  ASSERT_TRUE(fit->rate.refused);
  EXPECT_THAT(*fit->rate.refused, HasSubstr("1 group with an optimum"));
}

TEST(RatesTest, ReadsATableOfRuns) {
  const allometry::testing::TemporaryFolder folder;
  const std::string path = folder.Path("runs.csv");
  std::ofstream(path) << "n_params,tokens,val_loss,config.learning_rate,batch_size\n"
                         "10M,1e9,3.1,1e-3,65536\n10M,1e9,3.0,2e-3,65536\n10M,1e9,,4e-3,65536\n";
  const auto table = ReadRates(path, {});
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->runs.size(), 2u);
  EXPECT_EQ(table->runs[0].params, 1e7);
  EXPECT_EQ(table->runs[1].rate, 2e-3);
  EXPECT_EQ(table->runs[1].batch, 65536);
  EXPECT_THAT(table->exclusions.at(0).reason, HasSubstr("val_loss is missing"));
  std::ofstream(path) << "N,D,loss\n1e7,1e9,3\n";
  EXPECT_THAT(ReadRates(path, {}).status().message(), HasSubstr("no column for lr"));
}

TEST(RatesTest, JsonHasBothLaws) {
  const auto fit = FitRates(Grid({}, {5e4, 1e5, 2e5, 4e5, 8e5}), {});
  ASSERT_TRUE(fit.ok());
  const auto json = nlohmann::json::parse(RatesJson(*fit));
  EXPECT_EQ(json["runs"], 6 * 3 * 5 * 9);
  EXPECT_TRUE(json["learning_rate"]["parameters"].contains("batch"));
  EXPECT_FALSE(json["batch"].is_null());
  EXPECT_TRUE(json["learning_rate"]["refused"].is_null());
}

}  // namespace
}  // namespace allometry::fitting
