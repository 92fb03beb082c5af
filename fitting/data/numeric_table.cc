#include "fitting/data/numeric_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fitting/data/header.h"
#include "fitting/data/layout.h"
#include "fitting/data/records.h"
#include "fitting/data/text_lines.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr size_t kReadAhead = 1 << 20;
constexpr size_t kMostRows = 1'000'000;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::string Letters(absl::string_view header) {
  std::string letters;
  for (char c : header) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '*') {
      letters.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    }
  }
  return letters;
}

// Column and text of "lr=rate"; the name in front is one of those wanted.
absl::StatusOr<std::pair<size_t, std::string>> Assigned(const char* option, const std::string& text,
                                                        const std::vector<WantedColumn>& wanted) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  std::vector<std::string> names;
  for (size_t k = 0; k < wanted.size(); ++k) {
    if (parts.first == wanted[k].name) return std::pair(k, parts.second);
    names.push_back(wanted[k].name);
  }
  return absl::InvalidArgumentError(absl::StrFormat("--%s '%s': write NAME=TEXT, where NAME is %s",
                                                    option, text, absl::StrJoin(names, ", ")));
}

struct Header {
  Separator separator = Separator::kComma;
  int64_t line = 0;
  std::vector<std::string> fields;
};

// How well a header is what is wanted: by name, spelling, or role.
int Rank(const WantedColumn& column, const std::string& field) {
  std::string outside, inside;
  CutBrackets(field, outside, inside);
  const std::string letters = Letters(outside);
  const auto found = std::find_if(column.spellings.begin(), column.spellings.end(),
                                  [&](const char* spelling) { return letters == spelling; });
  if (found != column.spellings.end()) {
    return 1000 - static_cast<int>(found - column.spellings.begin());
  }
  if (column.role == Role::kRoles) return 0;
  const HeaderMatch match = MatchHeader(field);
  return match.role == column.role && match.params_policy.empty() ? 1 + std::max(0, match.rank) : 0;
}

absl::StatusOr<Header> FindHeader(absl::string_view ahead, const std::string& name,
                                  const std::vector<WantedColumn>& wanted,
                                  const std::vector<std::string>& named) {
  Header best;
  size_t most = 0;
  for (Separator separator : kSeparators) {
    TextLines lines(ahead, name);
    Records records(lines, separator);
    ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
    if (!more) return absl::InvalidArgumentError(absl::StrCat(name, ": the file is empty"));
    Header header{separator, records.line(), {}};
    size_t score = 0;
    for (absl::string_view field : records.fields()) {
      header.fields.emplace_back(absl::StripAsciiWhitespace(PlainText(field)));
      const std::string& text = header.fields.back();
      score += 2 * (std::find(named.begin(), named.end(), text) != named.end());
      score += std::any_of(wanted.begin(), wanted.end(),
                           [&](const WantedColumn& column) { return Rank(column, text) > 0; });
    }
    // A header is cut rightly where rows below it have as many fields.
    bool agrees = false;
    for (int k = 0; k < 20 && !agrees; ++k) {
      ALLO_ASSIGN_OR_RETURN(const bool another, records.Next());
      if (!another) break;
      agrees = records.fields().size() == header.fields.size();
    }
    if (!agrees) score = 0;
    if (score > most || best.fields.empty()) best = std::move(header), most = score;
  }
  return best;
}

class Reader {
 public:
  Reader(const std::string& name, const std::vector<WantedColumn>& wanted,
         const CsvOptions& options)
      : name_(name), wanted_(wanted), options_(options), columns_(wanted.size()) {}

  absl::StatusOr<NumericTable> Read(TextLines& lines) {
    std::vector<std::string> named;
    for (const std::string& text : options_.columns) {
      ALLO_ASSIGN_OR_RETURN(const auto assigned, Assigned("column", text, wanted_));
      named.push_back(assigned.second);
    }
    ALLO_ASSIGN_OR_RETURN(header_, FindHeader(lines.Ahead(), name_, wanted_, named));
    ALLO_RETURN_IF_ERROR(Choose());
    decimal_ = options_.decimal == "comma" ? Decimal::kComma : Decimal::kPoint;
    if (!options_.decimal.empty() && options_.decimal != "comma" && options_.decimal != "point") {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--decimal '%s' is not known: allowed are point, comma", options_.decimal));
    }
    Records records(lines, header_.separator);
    records.Expect(header_.fields.size());
    for (;;) {
      ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
      if (!more) break;
      if (records.line() <= header_.line) continue;
      if (table_.rows.size() >= kMostRows) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s: more than %d rows", name_, kMostRows));
      }
      TakeRow(records);
    }
    if (table_.rows.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: no row can be used%s", name_,
          table_.exclusions.empty() ? ""
                                    : absl::StrFormat("; line %d: %s", table_.exclusions[0].line,
                                                      table_.exclusions[0].reason)));
    }
    return std::move(table_);
  }

 private:
  absl::Status Choose() {
    for (size_t k = 0; k < wanted_.size(); ++k) {
      int best = 0;
      for (size_t f = 0; f < header_.fields.size(); ++f) {
        const int rank = Rank(wanted_[k], header_.fields[f]);
        if (rank <= best) continue;
        best = rank;
        columns_[k].field = static_cast<int>(f);
      }
    }
    for (const std::string& text : options_.columns) {
      ALLO_ASSIGN_OR_RETURN(const auto assigned, Assigned("column", text, wanted_));
      const auto& [k, header] = assigned;
      if (header == "none") {
        columns_[k].field = -1;
        continue;
      }
      const auto found = std::find(header_.fields.begin(), header_.fields.end(), header);
      if (found == header_.fields.end()) {
        return Refuse(absl::StrFormat("no column '%s' for %s; the header has: %s",
                                      SafePrefix(header, 40), wanted_[k].name, Headers()));
      }
      columns_[k].field = static_cast<int>(found - header_.fields.begin());
    }
    for (size_t k = 0; k < wanted_.size(); ++k) {
      CsvColumn& column = columns_[k];
      table_.has.push_back(column.field >= 0);
      if (column.field < 0) {
        if (!wanted_[k].required) continue;
        return Refuse(
            absl::StrFormat("no column for %s (--column %s=NAME says which); the header "
                            "has: %s",
                            wanted_[k].name, wanted_[k].name, Headers()));
      }
      column.header = header_.fields[column.field];
      if (wanted_[k].role != Role::kRoles) {
        const HeaderMatch match = MatchHeader(column.header);
        std::string outside, stated;
        CutBrackets(column.header, outside, stated);
        if (match.role == wanted_[k].role) {
          column.unit = match.unit;
        } else if (const auto unit = ParseUnit(wanted_[k].role, stated); unit && !stated.empty()) {
          column.unit = *unit;
        } else if (!stated.empty()) {
          return Refuse(
              absl::StrFormat("the unit '%s' of column '%s' is not known: allowed are %s; "
                              "--unit %s=UNIT says which",
                              SafePrefix(stated, 20), column.header, AllowedUnits(wanted_[k].role),
                              wanted_[k].name));
        }
      }
      for (const std::string& text : options_.units) {
        ALLO_ASSIGN_OR_RETURN(const auto assigned, Assigned("unit", text, wanted_));
        if (assigned.first != k) continue;
        const Role role = wanted_[k].role == Role::kRoles ? Role::kTokens : wanted_[k].role;
        const std::optional<Unit> unit = ParseUnit(role, assigned.second);
        if (!unit) {
          return absl::InvalidArgumentError(
              absl::StrFormat("--unit %s: '%s' is not known: allowed are %s", wanted_[k].name,
                              assigned.second, AllowedUnits(role)));
        }
        column.unit = *unit;
      }
      table_.read.columns.push_back({wanted_[k].name, column.header, column.unit.name, ""});
    }
    for (size_t a = 0; a < columns_.size(); ++a) {
      for (size_t b = a + 1; b < columns_.size(); ++b) {
        if (columns_[a].field < 0 || columns_[a].field != columns_[b].field) continue;
        return Refuse(absl::StrFormat("column '%s' can be %s or %s: --column says which",
                                      columns_[a].header, wanted_[a].name, wanted_[b].name));
      }
    }
    table_.read.file = name_;
    table_.read.form = Name(header_.separator);
    if (options_.group.empty()) return absl::OkStatus();
    const auto found = std::find(header_.fields.begin(), header_.fields.end(), options_.group);
    if (found == header_.fields.end()) {
      return Refuse(absl::StrFormat("no column '%s' for --group; the header has: %s",
                                    SafePrefix(options_.group, 40), Headers()));
    }
    group_ = static_cast<int>(found - header_.fields.begin());
    return absl::OkStatus();
  }

  void TakeRow(const Records& records) {
    ++table_.total;
    const auto exclude = [&](std::string reason) {
      if (table_.exclusions.size() < Observations::kListedExclusions) {
        table_.exclusions.push_back({records.line(), std::move(reason), 1});
      }
    };
    if (records.fields().size() != header_.fields.size()) {
      return exclude(absl::StrFormat("%d fields, and the header has %d", records.fields().size(),
                                     header_.fields.size()));
    }
    std::vector<double> row;
    for (size_t k = 0; k < wanted_.size(); ++k) {
      if (columns_[k].field < 0) {
        row.push_back(kMissing);
        continue;
      }
      const absl::string_view text = records.fields()[columns_[k].field];
      std::string reason;
      const Role role = wanted_[k].role == Role::kRoles ? Role::kTokens : wanted_[k].role;
      const double value = ReadField(text, decimal_, role, columns_[k], reason);
      if (!reason.empty()) return exclude(std::move(reason));
      if (std::isnan(value) && wanted_[k].required) {
        return exclude(absl::StrCat(columns_[k].header, " is missing"));
      }
      if (std::isinf(value) || (!wanted_[k].any_sign && value <= 0)) {
        return exclude(
            absl::StrFormat("%s is %g: a positive number is needed", columns_[k].header, value));
      }
      row.push_back(value);
    }
    table_.rows.push_back(std::move(row));
    table_.lines.push_back(records.line());
    table_.groups.emplace_back(group_ < 0 ? ""
                                          : absl::StripAsciiWhitespace(records.fields()[group_]));
  }

  std::string Headers() const { return SafePrefix(absl::StrJoin(header_.fields, ", "), 200); }
  absl::Status Refuse(const std::string& reason) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", name_, header_.line, reason));
  }

  const std::string& name_;
  const std::vector<WantedColumn>& wanted_;
  const CsvOptions& options_;
  Header header_;
  std::vector<CsvColumn> columns_;
  Decimal decimal_ = Decimal::kPoint;
  int group_ = -1;
  NumericTable table_;
};

}  // namespace

absl::StatusOr<NumericTable> ReadNumericTable(const std::string& path,
                                              const std::vector<WantedColumn>& wanted,
                                              const CsvOptions& options) {
  std::string name;
  ALLO_ASSIGN_OR_RETURN(FILE* const file, OpenTable(path, name));
  TextLines lines(file, name, nullptr);
  ALLO_RETURN_IF_ERROR(lines.Open(kReadAhead));
  return Reader(name, wanted, options).Read(lines);
}

}  // namespace allometry::fitting
