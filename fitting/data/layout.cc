#include "fitting/data/layout.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/column_choice.h"
#include "fitting/data/records.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr int kLinesAboveHeader = 30;
constexpr size_t kSampledRows = 2000;

absl::Status Refuse(const std::string& name, int64_t line, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", name, line, reason));
}

std::string Header(absl::string_view field) {
  return std::string(absl::StripAsciiWhitespace(PlainText(field)));
}

// How many of N, D, C and the loss the row names, and of the columns that the person named.
int HeaderScore(const std::vector<absl::string_view>& fields,
                const std::vector<std::string>& named) {
  bool params = false, tokens = false, flops = false, loss = false;
  int asked = 0;
  for (absl::string_view field : fields) {
    if (field.empty() || field.size() > 200 || absl::ascii_isdigit(field[0])) continue;
    const HeaderMatch match = MatchHeader(field);
    params |= match.role == Role::kParams;
    tokens |= match.role == Role::kTokens;
    flops |= match.role == Role::kFlops;
    loss |= match.role == Role::kLoss;
    asked += std::find(named.begin(), named.end(), Header(field)) != named.end();
  }
  return params + tokens + flops + loss + 2 * asked;
}

bool IsNumber(absl::string_view text) {
  ParsedNumber number;
  std::string reason;
  for (Decimal decimal : {Decimal::kPoint, Decimal::kComma}) {
    if (ParseNumber(text, decimal, number, reason) && !number.missing) return true;
  }
  return false;
}

struct Found {
  int score = 0;
  int agreeing = 0;  // of the rows behind it, those with as many fields, or one more
  int64_t line = 0;
  bool comment = false;
  Separator separator = Separator::kComma;
  std::vector<std::string> fields;
};

// How many of the next rows have the header's number of fields.
absl::StatusOr<int> RowsThatAgree(Records& records, size_t fields) {
  constexpr int kRows = 20;
  int agreeing = 0;
  for (int k = 0; k < kRows; ++k) {
    ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
    if (!more) break;
    agreeing += records.fields().size() == fields || records.fields().size() == fields + 1;
  }
  return agreeing;
}

absl::Status Search(absl::string_view ahead, const std::string& name,
                    const std::vector<std::string>& named, bool comments, Found& best) {
  for (Separator separator : kSeparators) {
    TextLines lines(ahead, name);
    Records records(lines, separator);
    if (comments) records.ReadComments();
    for (int k = 0; k < kLinesAboveHeader; ++k) {
      ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
      if (!more) break;
      const int score = HeaderScore(records.fields(), named);
      if (score < std::max(best.score, 1)) continue;
      // Words of a sentence may name one quantity; a table of spaces or pipes names several.
      if (score < 2 && separator > Separator::kTab) continue;
      Found found = {score, 0, records.line(), comments, separator, {}};
      for (absl::string_view field : records.fields()) found.fields.push_back(Header(field));
      TextLines behind(ahead, name);
      Records rows(behind, separator);
      bool more_rows = true;
      while (more_rows && rows.line() < found.line) {
        ALLO_ASSIGN_OR_RETURN(more_rows, rows.Next());
      }
      ALLO_ASSIGN_OR_RETURN(found.agreeing, RowsThatAgree(rows, found.fields.size()));
      const bool better = separator != best.separator && found.agreeing > best.agreeing;
      // Names of several words ("val loss") have single spaces inside.
      const bool words = separator == Separator::kWideSpace &&
                         best.separator == Separator::kSpace && found.line == best.line &&
                         found.agreeing == best.agreeing &&
                         found.fields.size() < best.fields.size();
      if (score > best.score || better || words) best = std::move(found);
    }
  }
  return absl::OkStatus();
}

// What to say where no line names a quantity.
absl::Status NoHeader(absl::string_view ahead, const std::string& name) {
  std::vector<std::string> widest;
  int64_t line = 0;
  size_t numbers = 0;
  for (Separator separator : kSeparators) {
    TextLines lines(ahead, name);
    Records records(lines, separator);
    ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
    if (!more) return absl::InvalidArgumentError(absl::StrCat(name, ": the file is empty"));
    if (records.fields().size() <= widest.size()) continue;
    widest.clear();
    for (absl::string_view field : records.fields()) widest.emplace_back(field);
    line = records.line();
    numbers =
        std::count_if(widest.begin(), widest.end(), [](const auto& f) { return IsNumber(f); });
  }
  const std::string seen = SafePrefix(absl::StrJoin(widest, ", "), 200);
  if (!ValidUtf8(seen)) return Refuse(name, line, "the header is not UTF-8 text");
  if (numbers > 0 && numbers * 2 >= widest.size()) {
    return Refuse(name, line,
                  absl::StrFormat("the first line looks like data (%s): a header that names the "
                                  "columns is needed above it, such as N,D,loss",
                                  seen));
  }
  if (widest.size() < 3) {
    return Refuse(name, line,
                  absl::StrFormat("the header has %d column%s (%s): N, D and loss are needed, or C "
                                  "in place of N or D ('allo optima' fits a table of C with the "
                                  "best N or loss)",
                                  widest.size(), widest.size() == 1 ? "" : "s", seen));
  }
  if (absl::StrContains(seen, "Wall time") && absl::StrContains(seen, "Value")) {
    return Refuse(
        name, line,
        "is one scalar that TensorBoard exported (Wall time, Step, Value): a row for each "
        "run is needed, with N, D and the loss");
  }
  if (absl::StrContains(seen, "__MIN")) {
    return Refuse(name, line,
                  "is a chart that Weights & Biases exported, a column for each run: export the "
                  "table of runs, with its config and summary");
  }
  return Refuse(name, line,
                absl::StrFormat("no column for loss, N or D (spelled loss, val_loss; N, params; D, "
                                "tokens; --column loss=NAME names another); the header has: %s",
                                seen));
}

// Evidence of the decimal mark over the numeric columns; kNone where there is none.
struct Evidence {
  DecimalEvidence mark = DecimalEvidence::kNone;
  int64_t line = 0;
  std::string text;
};

absl::Status FindDecimal(const CsvSample& sample, const CsvOptions& options, TableLayout& layout) {
  if (options.decimal == "point" || options.decimal == "comma") {
    layout.decimal = options.decimal == "comma" ? Decimal::kComma : Decimal::kPoint;
    return absl::OkStatus();
  }
  if (!options.decimal.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--decimal '%s' is not known: allowed are point, comma", options.decimal));
  }
  std::vector<int> fields;
  std::vector<bool> is_loss;
  for (size_t f = 0; f < layout.header.size(); ++f) {
    const HeaderMatch match = MatchHeader(layout.header[f]);
    if (match.role > Role::kFlops) continue;
    fields.push_back(static_cast<int>(f));
    is_loss.push_back(match.role == Role::kLoss && !match.unit.perplexity);
  }
  Evidence point, comma, either;
  for (size_t r = 0; r < sample.rows.size(); ++r) {
    for (size_t k = 0; k < fields.size(); ++k) {
      const std::string& text = sample.rows[r][fields[k]];
      DecimalEvidence mark = EvidenceOf(text);
      if (mark == DecimalEvidence::kNone) continue;
      const bool has_comma = absl::StrContains(text, ',');
      // A lone point before three digits is a decimal point unless commas are about. A loss has no
      // thousands: "5,771" is a decimal comma there.
      if (mark == DecimalEvidence::kEither && is_loss[k]) {
        mark = has_comma ? DecimalEvidence::kComma : DecimalEvidence::kPoint;
      }
      Evidence& one = mark == DecimalEvidence::kPoint   ? point
                      : mark == DecimalEvidence::kComma ? comma
                                                        : either;
      if (one.line == 0 || (&one == &either && has_comma && !absl::StrContains(one.text, ','))) {
        one = {mark, sample.lines[r], text};
      }
    }
  }
  if (point.line > 0 && comma.line > 0) {
    return Refuse(sample.name, std::max(point.line, comma.line),
                  absl::StrFormat("the file has decimal points ('%s', line %d) and decimal commas "
                                  "('%s', line %d): --decimal point or --decimal comma says which "
                                  "is right, and the other rows are left out",
                                  SafePrefix(point.text, 40), point.line,
                                  SafePrefix(comma.text, 40), comma.line));
  }
  if (comma.line > 0) layout.decimal = Decimal::kComma;
  if (point.line == 0 && comma.line == 0 && either.line > 0 &&
      absl::StrContains(either.text, ',')) {
    return Refuse(sample.name, either.line,
                  absl::StrFormat("'%s' can be read with a decimal comma or with a comma between "
                                  "thousands: --decimal comma or --decimal point says which",
                                  SafePrefix(either.text, 40)));
  }
  return absl::OkStatus();
}

// A second header line of units: "params,M tokens,nats" or "-,B,nats".
bool TakeUnits(const std::vector<std::string>& row, TableLayout& layout) {
  std::vector<std::pair<int, std::string>> units;
  for (size_t f = 0; f < row.size() && f < layout.header.size(); ++f) {
    const HeaderMatch match = MatchHeader(layout.header[f]);
    if (match.role > Role::kFlops) continue;
    const std::string text = PlainText(row[f]);
    if (text.empty() || text == "-" || text == "[-]" || text == "()") continue;
    if (IsNumber(text) || !ParseUnit(match.role, text)) return false;
    units.push_back({static_cast<int>(f), text});
  }
  if (units.empty()) return false;
  for (const auto& [field, text] : units) {
    absl::StrAppend(&layout.header[field], " (", absl::StripAsciiWhitespace(text), ")");
  }
  return true;
}

// R's write.table leaves the header's first field away: every row then begins with its name.
bool AreRowNames(const std::vector<std::vector<std::string>>& rows) {
  int64_t last = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    double value = 0;
    if (!PlainNumber(rows[r].front(), Decimal::kPoint, value)) {
      // A label: never a number with marks that a quantity could be.
      if (IsNumber(rows[r].front())) return false;
      continue;
    }
    if (value != std::floor(value)) return false;
    if (r > 0 && value != static_cast<double>(last) + 1) return false;
    if (r == 0 && value > 1) return false;
    last = static_cast<int64_t>(value);
  }
  return rows.size() > 1;
}

absl::StatusOr<CsvSample> TakeSample(absl::string_view ahead, bool whole, const std::string& name,
                                     TableLayout& layout) {
  CsvSample sample;
  sample.name = name;
  TextLines lines(ahead, name);
  Records records(lines, layout.separator);
  bool below = false;
  std::vector<std::vector<std::string>> other;  // rows with one field more
  int64_t other_line = 0, fitting = 0;
  size_t other_fields = 0;
  std::string other_text;
  while (sample.rows.size() < kSampledRows && other.size() < kSampledRows) {
    ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
    if (!more) break;
    if (!below) {
      if (records.line() <= layout.header_line) {
        below = records.line() == layout.header_line;
        if (below) records.Expect(layout.header.size());
        continue;
      }
      below = true;
      records.Expect(layout.header.size());
    }
    std::vector<std::string> row(records.fields().begin(), records.fields().end());
    while (row.size() > layout.header.size() && row.back().empty()) row.pop_back();
    if (layout.units_line == 0 && sample.rows.empty() && row.size() == layout.header.size() &&
        TakeUnits(row, layout)) {
      layout.units_line = records.line();
      continue;
    }
    if (row.size() == layout.header.size()) {
      ++fitting;
      sample.lines.push_back(records.line());
      sample.rows.push_back(std::move(row));
    } else {
      if (other.empty()) {
        other_line = records.line();
        other_fields = row.size();
        other_text = std::string(records.text());
      }
      other.push_back(std::move(row));
    }
  }
  // The last row of a piece of a file may be cut.
  if (!whole && !sample.rows.empty() && sample.rows.size() < kSampledRows) {
    sample.rows.pop_back();
    sample.lines.pop_back();
  }
  if (other.size() < 2 || other.size() < 9 * static_cast<size_t>(fitting)) return sample;
  const bool one_more = std::all_of(other.begin(), other.end(), [&](const auto& row) {
    return row.size() == layout.header.size() + 1;
  });
  if (one_more && AreRowNames(other)) {
    layout.header.insert(layout.header.begin(), "");
    sample.rows.clear();
    sample.lines.clear();
    return TakeSample(ahead, whole, name, layout);
  }
  return Refuse(name, other_line,
                absl::StrFormat(
                    "the row has %d fields where the header has %d ('%s'), and so have most%s",
                    other_fields, layout.header.size(), SafePrefix(other_text, 60),
                    layout.separator == Separator::kComma && other_fields > layout.header.size()
                        ? ": numbers that hold commas (10,000,000 or 5,77) must be quoted, or the "
                          "columns separated by semicolons or tabs"
                        : ""));
}

}  // namespace

std::vector<double> CsvSample::Values(const TableLayout& layout, Role role,
                                      const CsvColumn& column) const {
  std::vector<double> values;
  values.reserve(rows.size());
  std::string reason;
  for (const std::vector<std::string>& row : rows) {
    reason.clear();
    const double value = ReadField(row[column.field], layout.decimal, role, column, reason);
    values.push_back(reason.empty() ? value : std::numeric_limits<double>::quiet_NaN());
  }
  return values;
}

double ReadField(absl::string_view text, Decimal decimal, Role role, const CsvColumn& column,
                 std::string& reason) {
  double plain = 0;
  if (PlainNumber(text, decimal, plain)) return column.unit.Apply(plain);
  ParsedNumber number;
  std::string why;
  if (!ParseNumber(text, decimal, number, why)) {
    if (reason.empty()) reason = absl::StrCat(column.header, " is ", why);
    return 0;
  }
  if (number.missing) return std::numeric_limits<double>::quiet_NaN();
  if (number.suffix.empty()) return column.unit.Apply(number.value);
  const std::optional<Unit> unit = ParseUnit(role, number.suffix);
  if (!unit || (role == Role::kLoss && unit->per != column.unit.per)) {
    if (reason.empty()) {
      reason = absl::StrFormat("%s is '%s', whose '%s' is no unit that is known there (%s)",
                               column.header, SafePrefix(text, 40), SafePrefix(number.suffix, 20),
                               AllowedUnits(role));
    }
    return 0;
  }
  return unit->Apply(number.value);
}

absl::StatusOr<CsvTable> FindLayout(absl::string_view ahead, bool whole, const std::string& name,
                                    const CsvOptions& options) {
  std::vector<std::string> named;
  for (const std::string& text : options.columns) {
    ALLO_ASSIGN_OR_RETURN(const Assignment assignment,
                          ParseAssignment("column", text, Role::kRoles));
    if (absl::string_view(assignment.text) != "none") named.push_back(assignment.text);
  }
  if (!options.group.empty()) named.push_back(options.group);
  Found found;
  ALLO_RETURN_IF_ERROR(Search(ahead, name, named, false, found));
  if (found.score < 2) {
    Found comment;
    ALLO_RETURN_IF_ERROR(Search(ahead, name, named, true, comment));
    if (comment.score >= 3) found = comment;
  }
  if (found.score == 0) return NoHeader(ahead, name);
  TableLayout layout;
  layout.separator = found.separator;
  layout.header = found.fields;
  layout.header_line = found.line;
  layout.header_is_comment = found.comment;
  while (!layout.header.empty() && layout.header.back().empty()) layout.header.pop_back();
  const auto has = [&](const char* column) {
    return std::find(layout.header.begin(), layout.header.end(), column) != layout.header.end();
  };
  layout.own_export = has("sweep") && has("run_key") && has("ends_cell");
  ALLO_ASSIGN_OR_RETURN(CsvSample sample, TakeSample(ahead, whole, name, layout));
  ALLO_RETURN_IF_ERROR(FindDecimal(sample, options, layout));
  ALLO_RETURN_IF_ERROR(ChooseColumns(sample, options, layout));
  return CsvTable{std::move(layout), std::move(sample)};
}

}  // namespace allometry::fitting
