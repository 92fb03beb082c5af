#include "fitting/data/pooled.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr size_t kMostValues = 20;  // more are names of runs, not kinds
constexpr size_t kMostNotes = 3, kShownValues = 4;
constexpr double kSameSize = 1.01;

bool NamesAKind(absl::string_view header) {
  const std::string lower = absl::AsciiStrToLower(header);
  for (const char* word : {"dataset", "corpus", "vocab", "tokenizer", "family", "group"}) {
    if (absl::StrContains(lower, word)) return true;
  }
  return false;
}

}  // namespace

PooledColumns::PooledColumns(const TableLayout& layout, const CsvSample& sample) {
  for (size_t f = 0; f < layout.header.size(); ++f) {
    const int field = static_cast<int>(f);
    bool taken = layout.header[f].empty() || MatchHeader(layout.header[f]).role < Role::kRun;
    for (int role = 0; role < kRoleCount; ++role) {
      taken |= layout.at[role].field == field && static_cast<Role>(role) != Role::kFamily;
    }
    if (taken) continue;
    bool numbers = true;
    for (size_t r = 0; r < std::min<size_t>(sample.rows.size(), 50) && numbers; ++r) {
      double value = 0;
      numbers = sample.rows[r][f].empty() || PlainNumber(sample.rows[r][f], Decimal::kPoint, value);
    }
    if (numbers && !NamesAKind(layout.header[f])) continue;
    columns_.push_back({field, layout.header[f], {}, 0});
  }
}

void PooledColumns::Count(const std::vector<absl::string_view>& fields, double params) {
  for (size_t c = 0; c < columns_.size();) {
    Column& column = columns_[c];
    const absl::string_view text = fields[column.field];
    size_t at = column.last;
    if (at >= column.values.size() || column.values[at].text != text) {
      at = 0;
      while (at < column.values.size() && column.values[at].text != text) ++at;
    }
    if (at == column.values.size()) {
      if (at == kMostValues) {
        columns_.erase(columns_.begin() + c);
        continue;
      }
      column.values.push_back({std::string(text), 0, params, params});
    }
    Value& value = column.values[at];
    ++value.rows;
    value.smallest = std::min(value.smallest, params);
    value.largest = std::max(value.largest, params);
    column.last = at;
    ++c;
  }
}

std::vector<std::string> PooledColumns::Notes() const {
  std::vector<std::string> notes;
  for (const Column& column : columns_) {
    const auto spans =
        std::count_if(column.values.begin(), column.values.end(), [](const Value& value) {
          return !value.text.empty() && value.largest > kSameSize * value.smallest;
        });
    if (spans < 2 || notes.size() >= kMostNotes) continue;
    std::vector<std::string> shown;
    for (size_t v = 0; v < std::min(column.values.size(), kShownValues); ++v) {
      const Value& value = column.values[v];
      // A quoted field may hold line breaks.
      const std::string text = absl::StrReplaceAll(value.text, {{"\n", " "}, {"\r", " "}});
      shown.push_back(absl::StrFormat("%s: %d rows",
                                      text.empty() ? "(empty)" : SafePrefix(text, 30), value.rows));
    }
    if (column.values.size() > kShownValues) shown.push_back("...");
    notes.push_back(absl::StrFormat(
        "column '%s' has %d values (%s) and does not enter the fit, which pools them: --group %s "
        "fits each alone",
        column.header, column.values.size(), absl::StrJoin(shown, ", "), column.header));
  }
  return notes;
}

}  // namespace allometry::fitting
