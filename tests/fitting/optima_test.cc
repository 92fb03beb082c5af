// Laws of tables of optima, against published slopes and known truths.
#include "fitting/direct/optima.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "fitting/interval/regression.h"
#include "fitting/solve/statistics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fitting/test_data.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::fitting {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OptimaTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = folder_.Path("table.csv");
    std::ofstream(path) << text;
    return path;
  }
  std::vector<OptimaTable> Read(const std::string& text, const CsvOptions& options = {}) {
    auto tables = ReadOptima(Write(text), options);
    EXPECT_TRUE(tables.ok()) << tables.status();
    return tables.ok() ? *tables : std::vector<OptimaTable>{};
  }
  std::string WhyNot(const std::string& text, const CsvOptions& options = {}) {
    return std::string(ReadOptima(Write(text), options).status().message());
  }
  const allometry::testing::TemporaryFolder folder_;
};

OptimaFit Fitted(const OptimaTable& table, std::vector<double> budgets = {}) {
  auto fit = FitOptima(table, std::move(budgets));
  EXPECT_TRUE(fit.ok()) << fit.status();
  return *fit;
}

const Estimate& Of(const OptimaFit& fit, const std::string& quantity, const std::string& name) {
  static const Estimate none;
  for (const OptimaLaw& law : fit.laws) {
    for (const NamedEstimate& one : law.parameters) {
      if (law.quantity == quantity && one.name == name) return one.value;
    }
  }
  ADD_FAILURE() << quantity << " has no " << name;
  return none;
}

// The frontiers of Pearce and Song (2024), whose own script gives these slopes of ln N over ln C
// (tests/fitting/data/README.md).
TEST_F(OptimaTest, ReproducesPearceAndSongsSlopes) {
  CsvOptions options;
  options.group = "count";
  const auto tables = ReadOptima(DataPath("pearce_frontier.csv"), options);
  ASSERT_TRUE(tables.ok()) << tables.status();
  ASSERT_EQ(tables->size(), 2u);
  EXPECT_EQ((*tables)[0].group, "total");
  const OptimaFit total = Fitted((*tables)[0]), nonembed = Fitted((*tables)[1]);
  EXPECT_NEAR(*Of(total, "params", "a").estimate, 0.5154255, 1e-6);
  EXPECT_NEAR(*Of(nonembed, "params", "a").estimate, 0.7805396, 1e-6);
  // The law behind them has E = 1.8172 and an exponent of .17829; their frontier is a staircase.
  EXPECT_NEAR(*Of(total, "loss", "E").estimate, 1.8172, 0.005);
  EXPECT_NEAR(*Of(total, "loss", "c").estimate, 0.17829, 0.0005);
  EXPECT_THAT(total.notes, Contains(HasSubstr("18 different N*: a staircase")));
}

TEST_F(OptimaTest, ExactTablesGiveTheirLaws) {
  std::string text = "C;N_opt;loss\n";
  for (int k = 0; k < 8; ++k) {
    const double c = 1e18 * std::pow(3.0, k);
    absl::StrAppendFormat(&text, "%.17g;%.17g;%.17g\n", c, 0.1 * std::pow(c, 0.48),
                          1.7 + 2 * std::pow(c / 1e18, -0.15));
  }
  const OptimaFit fit = Fitted(Read(text).at(0), {1e24});
  EXPECT_NEAR(*Of(fit, "params", "a").estimate, 0.48, 1e-9);
  EXPECT_NEAR(*Of(fit, "params", "coefficient").estimate, 0.1, 1e-7);
  EXPECT_NEAR(*Of(fit, "tokens", "b").estimate, 0.52, 1e-9);
  EXPECT_NEAR(*Of(fit, "loss", "E").estimate, 1.7, 1e-6);
  EXPECT_NEAR(*Of(fit, "loss", "c").estimate, 0.15, 1e-6);
  EXPECT_NEAR(*fit.laws[0].at_budgets[0].estimate / (0.1 * std::pow(1e24, 0.48)), 1, 1e-9);
  EXPECT_NEAR(*fit.laws[2].at_budgets[0].estimate, 1.7 + 2 * std::pow(1e6, -0.15), 1e-6);
  EXPECT_THAT(fit.contradictions, IsEmpty());
}

TEST_F(OptimaTest, IntervalsHoldTheTruth) {
  constexpr int kTables = 300;
  int a = 0, floor = 0, loss = 0;
  for (int seed = 0; seed < kTables; ++seed) {
    Random random(seed, 5);
    OptimaTable table;
    for (int k = 0; k < 9; ++k) {
      const double c = 1e18 * std::pow(10.0, 0.5 * k);
      OptimaRow row;
      row.flops = c;
      row.params = 0.1 * std::pow(c, 0.48) * std::exp(0.1 * random.Normal());
      row.loss = 1.7 + 2 * std::pow(c / 1e18, -0.15) + 0.005 * random.Normal();
      table.rows.push_back(row);
    }
    const OptimaFit fit = Fitted(table, {1e24});
    const auto holds = [](const Estimate& e, double truth) {
      return e.lower && *e.lower <= truth && truth <= *e.upper;
    };
    a += holds(Of(fit, "params", "a"), 0.48);
    floor += holds(Of(fit, "loss", "E"), 1.7);
    loss += holds(fit.laws[2].at_budgets[0], 1.7 + 2 * std::pow(1e6, -0.15));
  }
  // .95 of 300 is 285, with a standard deviation of 3.8.
  EXPECT_GE(a, 272);
  EXPECT_GE(floor, 268);
  EXPECT_GE(loss, 268);
}

TEST_F(OptimaTest, WeightsAreThoseOfRepeatedRows) {
  const std::string rows =
      "1e18,1e8,3\n1e19,3e8,2.7\n1e20,1.1e9,2.45\n1e21,2.8e9,2.3\n"
      "1e22,1e10,2.15\n1e23,2.9e10,2.05\n";
  std::string weighted = "C,N_opt,loss,weight\n", repeated = "C,N_opt,loss\n";
  int k = 0;
  for (const std::string& row : {rows}) {
    std::istringstream lines(row);
    for (std::string line; std::getline(lines, line); ++k) {
      weighted += line + (k == 2 ? ",3\n" : ",1\n");
      for (int copy = 0; copy < (k == 2 ? 3 : 1); ++copy) repeated += line + "\n";
    }
  }
  const OptimaFit one = Fitted(Read(weighted).at(0)), other = Fitted(Read(repeated).at(0));
  EXPECT_NEAR(*Of(one, "params", "a").estimate, *Of(other, "params", "a").estimate, 1e-12);
  EXPECT_NEAR(*Of(one, "loss", "c").estimate, *Of(other, "loss", "c").estimate, 1e-8);
}

TEST_F(OptimaTest, FindsItsColumnsAndUnits) {
  const auto tables =
      Read("budget (PF-days)\tN* (B)\tD_opt (T)\tnote\n1\t1\t.02\tx\n10\t3\t.06\ty\n");
  ASSERT_EQ(tables.size(), 1u);
  const OptimaRow& row = tables[0].rows.at(0);
  EXPECT_NEAR(row.flops / 8.64e19, 1, 1e-12);
  EXPECT_EQ(row.params, 1e9);
  EXPECT_EQ(row.tokens, 2e10);
  EXPECT_FALSE(row.loss);
}

TEST_F(OptimaTest, RefusesWithPlaceValueAndWhatIsAllowed) {
  EXPECT_THAT(WhyNot("a,b\n1,2\n"), HasSubstr("no column for C (--column C=NAME says which)"));
  EXPECT_THAT(WhyNot("C,b\n1e18,2\n"), HasSubstr("a column for N*, D* or the loss is needed"));
  EXPECT_THAT(WhyNot("C,N_opt\n-1,2e7\n"), HasSubstr("line 2: C is -1: a positive number"));
  EXPECT_THAT(WhyNot("C,N_opt\n1e18\n"), HasSubstr("line 2: 1 fields, and the header has 2"));
  EXPECT_THAT(WhyNot(""), HasSubstr("empty"));
  CsvOptions options;
  options.columns = {"lr=x"};
  EXPECT_THAT(WhyNot("C,N\n1e18,2e7\n", options), HasSubstr("NAME is C, N, D, loss, weight"));
  options.columns = {"N=x"};
  EXPECT_THAT(WhyNot("C,N\n1e18,2e7\n", options), HasSubstr("no column 'x' for N"));
  EXPECT_EQ(ReadOptima(folder_.Path("none.csv"), {}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(OptimaTest, SaysWhatItsRowsContradict) {
  // The loss turns up again: the law cannot follow.
  const OptimaFit bent = Fitted(
      Read("C,loss\n1e18,3\n1e19,2.5\n1e20,2.3\n1e21,1.9\n1e22,2.2\n1e23,2.2\n1e24,2.2\n").at(0),
      {1e24});
  EXPECT_THAT(bent.contradictions, Contains(HasSubstr("is above the loss")));
  const OptimaFit runs =
      Fitted(Read("C,N,loss\n1e18,1e7,3\n1e18,1e8,2.9\n1e19,1e7,3\n1e19,1e8,2.6\n").at(0));
  EXPECT_THAT(runs.contradictions, Contains(HasSubstr("is it a table of runs?")));
  EXPECT_THAT(OptimaText({runs}), HasSubstr("is it a table of runs?"));
}

TEST_F(OptimaTest, JsonHasTheLawsOfEachGroup) {
  const OptimaFit fit = Fitted(Read("C,N_opt\n1e18,1e7\n1e19,3e7\n1e20,1e8\n").at(0));
  const auto json = nlohmann::json::parse(OptimaJson({fit}));
  EXPECT_EQ(json["groups"][0]["laws"][0]["quantity"], "params");
  EXPECT_TRUE(json["groups"][0]["laws"][0]["parameters"]["a"]["lower"].is_null());
  EXPECT_NEAR(json["groups"][0]["laws"][0]["parameters"]["a"]["estimate"].get<double>(), 0.5, 1e-3);
}

// The linear case of the law's own CR2, where each row is a cluster: HC2.
TEST(RegressionTest, IntervalsAreThoseOfHc2WithTheMeansDegreesOfFreedom) {
  // A mean of n values: HC2's variance is s^2 / n, and its degrees of freedom are n - 1.
  const std::vector<double> values = {1, 2, 4, 7, 11, 3};
  Eigen::MatrixXd x = Eigen::MatrixXd::Ones(6, 1);
  Eigen::VectorXd y(6);
  double mean = 0, squares = 0;
  for (int i = 0; i < 6; ++i) y[i] = values[i], mean += values[i] / 6;
  for (double value : values) squares += (value - mean) * (value - mean);
  const Regression fit =
      Regress(x, y, std::vector<double>(6, 1.0), std::vector<int>{0, 1, 2, 3, 4, 5});
  const Estimate estimate = fit.Of(Eigen::VectorXd::Ones(1));
  EXPECT_NEAR(*estimate.estimate, mean, 1e-12);
  EXPECT_NEAR(*estimate.df, 5, 1e-9);
  EXPECT_NEAR(*estimate.upper - mean, StudentQuantile(0.975, 5) * std::sqrt(squares / 5 / 6), 1e-9);
}

}  // namespace
}  // namespace allometry::fitting
