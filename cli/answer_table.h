// `allo fit --table`: N*, D*, D*/N* and L* at every budget, as a paper or a spreadsheet takes them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace allometry::cli {

enum class TableFormat { kText, kCsv, kMarkdown, kLatex };
// "text", "csv", "markdown", "latex"; INVALID_ARGUMENT, with those names, for anything else.
absl::StatusOr<TableFormat> ParseTableFormat(absl::string_view name);

// Of a report's JSON (docs/fitting.md): one row a budget of `conclusion.answers`. Numbers that the
// data do not determine are empty in CSV, and a dash elsewhere. CSV has full precision and
// columns for both bounds; the others show three digits and the interval.
std::string AnswerTable(const nlohmann::json& report, TableFormat format);

}  // namespace allometry::cli
