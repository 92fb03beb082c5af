// A comparison as text and as JSON.
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "fitting/report/cells.h"
#include "fitting/report/compare.h"
#include "fitting/report/json_values.h"

namespace allometry::fitting {
namespace {

std::string Cell(const ComparedQuantity& row, const Estimate& estimate) {
  if (row.quantity == "params" || row.quantity == "tokens") return ShortCell(estimate);
  return LossCell(estimate);
}

// A ratio has two digits less.
std::string ChangeCell(const ComparedQuantity& row) {
  const auto number = [&](double value) {
    return row.is_ratio ? absl::StrFormat("%.2f", value) : absl::StrFormat("%+.4f", value);
  };
  std::string text = number(*row.change.estimate);
  if (row.change.lower && row.change.upper) {
    absl::StrAppend(&text, " ", number(*row.change.lower), "..", number(*row.change.upper));
  }
  absl::StrAppend(&text, row.not_usable              ? " not usable"
                         : row.differ && *row.differ ? " differs"
                                                     : "");
  return text;
}

std::string NameOf(const ComparedQuantity& row) {
  if (row.quantity == "params") return "N*";
  if (row.quantity == "tokens") return "D*";
  if (row.quantity == "loss") return "L*";
  return row.quantity;
}

}  // namespace

std::string CompareText(const Comparison& comparison, const std::string& first,
                        const std::string& second) {
  std::string out = absl::StrFormat("A: %s, %d points, fit %s\nB: %s, %d points, fit %s\n", first,
                                    comparison.first.used, comparison.first.fit_id, second,
                                    comparison.second.used, comparison.second.fit_id);
  Wrap("Answer: " + comparison.verdict + ".", 0, out);
  for (const auto& [name, report] :
       {std::pair("A", &comparison.first), std::pair("B", &comparison.second)}) {
    for (const Contradiction& one : report->conclusion.contradictions) {
      Wrap(absl::StrCat("Contradiction in ", name, ": ", one.text, "."), 0, out);
    }
  }
  for (const std::string& note : comparison.notes) Wrap("note: " + note, 0, out);
  Wrap(comparison.paired ? absl::StrFormat("intervals: in pairs, each of %d sizes left out of both",
                                           comparison.clusters)
                         : "intervals: independent errors, Welch's t",
       0, out);
  absl::StrAppend(&out, "\n");
  absl::StrAppendFormat(&out, "  %-7s %-12s %-21s %-21s %s\n", "", "method", "A", "B",
                        "A - B; of N*, D* A / B");
  std::optional<double> at;
  for (const ComparedQuantity& row : comparison.rows) {
    if (row.flops && row.flops != at) {
      absl::StrAppendFormat(&out, "  at C = %s FLOPs\n", Short(*row.flops, 2));
      at = row.flops;
    }
    if (row.quantity == "compute") {
      absl::StrAppendFormat(&out, "  %-7s %-12s B needs this multiple of C for A's loss: %s\n",
                            "compute", row.method, ChangeCell(row));
      continue;
    }
    absl::StrAppendFormat(&out, "  %-7s %-12s %-21s %-21s %s\n", NameOf(row), row.method,
                          Cell(row, row.first), Cell(row, row.second), ChangeCell(row));
  }
  return out;
}

std::string CompareJson(const Comparison& comparison, const std::string& first,
                        const std::string& second) {
  Json rows = Json::array();
  for (const ComparedQuantity& row : comparison.rows) {
    rows.push_back({{"quantity", row.quantity},
                    {"method", row.method},
                    {"flops", Number(row.flops)},
                    {"first", ToJson(row.first, false)},
                    {"second", ToJson(row.second, false)},
                    {row.is_ratio ? "ratio" : "difference", ToJson(row.change, false)},
                    {"df", Number(row.change.df)},
                    {"differ", row.differ ? Json(*row.differ) : Json(nullptr)},
                    {"not_usable", Text(row.not_usable)}});
  }
  const Json json = {{"first", Text(first)},
                     {"second", Text(second)},
                     {"paired", comparison.paired},
                     {"clusters", comparison.paired ? Json(comparison.clusters) : Json(nullptr)},
                     {"verdict", Text(comparison.verdict)},
                     {"rows", rows},
                     {"notes", Texts(comparison.notes)},
                     {"fits", Json::array({Json::parse(ReportJson(comparison.first)),
                                           Json::parse(ReportJson(comparison.second))})}};
  return Dump(json);
}

}  // namespace allometry::fitting
