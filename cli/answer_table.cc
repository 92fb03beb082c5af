#include "cli/answer_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace allometry::cli {
namespace {

using Json = nlohmann::json;

struct Column {
  const char* key;
  const char *csv, *plain, *latex;
  bool loss;
};
constexpr std::array kColumns = {
    Column{"params", "params", "N*", "$N^*$", false},
    Column{"tokens", "tokens", "D*", "$D^*$", false},
    Column{"tokens_per_param", "tokens_per_param", "D*/N*", "$D^*/N^*$", false},
    Column{"loss", "loss", "L*", "$L^*$", true},
};

std::string Number(double value, bool loss, bool latex) {
  if (loss) return absl::StrFormat("%.4f", value);
  if (value >= 0.01 && value < 1e4) return absl::StrFormat("%.3g", value);
  const int exponent = static_cast<int>(std::floor(std::log10(value)));
  const double mantissa = value / std::pow(10, exponent);
  return latex ? absl::StrFormat("$%.2f \\times 10^{%d}$", mantissa, exponent)
               : absl::StrFormat("%.2fe%d", mantissa, exponent);
}

std::string Cell(const Json& estimate, bool loss, bool latex) {
  if (!estimate.at("estimate").is_number()) return latex ? "--" : "-";
  std::string text = Number(estimate.at("estimate"), loss, latex);
  if (estimate.at("lower").is_number() && estimate.at("upper").is_number()) {
    absl::StrAppend(&text, " [", Number(estimate.at("lower"), loss, latex), ", ",
                    Number(estimate.at("upper"), loss, latex), "]");
  }
  return text;
}

std::string Csv(const Json& answers) {
  std::string out = "flops";
  for (const Column& column : kColumns) {
    absl::StrAppend(&out, ",", column.csv, ",", column.csv, "_lower,", column.csv, "_upper");
  }
  absl::StrAppend(&out, ",sized_by,loss_by,decades_outside\n");
  const auto number = [](const Json& value) {
    return value.is_number() ? absl::StrFormat("%.17g", value.get<double>()) : std::string();
  };
  const auto word = [](const Json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  for (const Json& one : answers) {
    absl::StrAppend(&out, number(one.at("flops")));
    for (const Column& column : kColumns) {
      for (const char* key : {"estimate", "lower", "upper"}) {
        absl::StrAppend(&out, ",", number(one.at(column.key).at(key)));
      }
    }
    absl::StrAppend(&out, ",", word(one.at("sized_by")), ",", word(one.at("loss_by")), ",",
                    number(one.at("decades_outside")), "\n");
  }
  return out;
}

std::vector<std::vector<std::string>> Rows(const Json& answers, bool latex) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0].push_back(latex ? "$C$" : "C");
  for (const Column& column : kColumns) rows[0].push_back(latex ? column.latex : column.plain);
  for (const Json& one : answers) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(Number(one.at("flops"), false, latex));
    for (const Column& column : kColumns) {
      row.push_back(Cell(one.at(column.key), column.loss, latex));
    }
  }
  return rows;
}

std::string Text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (size_t k = 0; k < row.size(); ++k) width[k] = std::max(width[k], row[k].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t k = 0; k < row.size(); ++k)
      absl::StrAppendFormat(&line, "%-*s  ", static_cast<int>(width[k]), row[k]);
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string Markdown(const std::vector<std::vector<std::string>>& rows) {
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    absl::StrAppend(&out, "| ", absl::StrJoin(rows[r], " | "), " |\n");
    if (r > 0) continue;
    for (size_t k = 0; k < rows[r].size(); ++k) absl::StrAppend(&out, "|---");
    absl::StrAppend(&out, "|\n");
  }
  return out;
}

std::string Latex(const std::vector<std::vector<std::string>>& rows) {
  std::string out = "\\begin{tabular}{" + std::string(rows[0].size(), 'l') + "}\n\\hline\n";
  for (size_t r = 0; r < rows.size(); ++r) {
    absl::StrAppend(&out, absl::StrJoin(rows[r], " & "), " \\\\\n");
    if (r == 0) absl::StrAppend(&out, "\\hline\n");
  }
  return out + "\\hline\n\\end{tabular}\n";
}

}  // namespace

absl::StatusOr<TableFormat> ParseTableFormat(absl::string_view name) {
  if (name == "text") return TableFormat::kText;
  if (name == "csv") return TableFormat::kCsv;
  if (name == "markdown") return TableFormat::kMarkdown;
  if (name == "latex") return TableFormat::kLatex;
  return absl::InvalidArgumentError(
      absl::StrFormat("table '%s' is not known: allowed are text, csv, markdown, latex", name));
}

std::string AnswerTable(const Json& report, TableFormat format) {
  const Json& answers = report.at("conclusion").at("answers");
  switch (format) {
    case TableFormat::kText:
      return Text(Rows(answers, false));
    case TableFormat::kCsv:
      return Csv(answers);
    case TableFormat::kMarkdown:
      return Markdown(Rows(answers, false));
    case TableFormat::kLatex:
      return Latex(Rows(answers, true));
  }
  return "";
}

}  // namespace allometry::cli
