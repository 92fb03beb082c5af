#include "cli/answer_table.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::cli {
namespace {

using ::testing::HasSubstr;

nlohmann::json Report() {
  return nlohmann::json::parse(R"({"conclusion": {"answers": [{"flops": 3e14,
      "params": {"estimate": 1.23e6, "lower": 1.1e6, "upper": 1.4e6},
      "tokens": {"estimate": 4.06e7, "lower": 3.6e7, "upper": 4.6e7},
      "tokens_per_param": {"estimate": 33, "lower": 25, "upper": 42},
      "loss": {"estimate": null, "lower": null, "upper": null},
      "sized_by": "frontier", "loss_by": null, "decades_outside": 2}]}})");
}

TEST(AnswerTableTest, FormatsSayTheSameNumbers) {
  EXPECT_EQ(AnswerTable(Report(), TableFormat::kMarkdown),
            "| C | N* | D* | D*/N* | L* |\n|---|---|---|---|---|\n"
            "| 3.00e14 | 1.23e6 [1.10e6, 1.40e6] | 4.06e7 [3.60e7, 4.60e7] | 33 [25, 42] | - |\n");
  EXPECT_THAT(AnswerTable(Report(), TableFormat::kLatex),
              HasSubstr("$3.00 \\times 10^{14}$ & $1.23 \\times 10^{6}$ ["));
  EXPECT_THAT(AnswerTable(Report(), TableFormat::kText), HasSubstr("33 [25, 42]"));
  const std::string csv = AnswerTable(Report(), TableFormat::kCsv);
  EXPECT_THAT(csv, HasSubstr("\n300000000000000,1230000,1100000,1400000,"));
  EXPECT_THAT(csv, HasSubstr(",,,,frontier,,2\n"));
}

TEST(AnswerTableTest, ReadsAReportAtEveryDecade) {
  fitting::FitOptions options;
  options.budgets = *fitting::ParseBudgets("1e20..1e23");
  ASSERT_EQ(options.budgets.size(), 4u);
  const nlohmann::json report =
      nlohmann::json::parse(ReportJson(fitting::FitOrDie(fitting::CurveSweep(3, 12, 60), options)));
  const std::string csv = AnswerTable(report, TableFormat::kCsv);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
}

TEST(AnswerTableTest, WrongWordsSayWhatIsAllowed) {
  EXPECT_THAT(std::string(ParseTableFormat("html").status().message()),
              HasSubstr("text, csv, markdown, latex"));
  for (const char* wrong : {"1e24..1e18", "1e18..", "..1e18", "0..1e3"}) {
    EXPECT_FALSE(fitting::ParseBudgets(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace allometry::cli
