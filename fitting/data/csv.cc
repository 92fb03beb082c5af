#include "fitting/data/csv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/layout.h"
#include "fitting/data/plausible.h"
#include "fitting/data/pooled.h"
#include "fitting/data/records.h"
#include "fitting/data/text_lines.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr size_t kReadAhead = 1 << 20;
constexpr int64_t kProgressRows = 1 << 16;
constexpr size_t kMostGroups = 200;  // a fit each
constexpr double kManyEpochs =
    4;  // Muennighoff et al. (2023): repeated tokens count as fresh so far

bool IsYes(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  return lower == "1" || lower == "true" || lower == "yes" || lower == "t" || lower == "1.0";
}

// A run that did not end, of whatever tracker.
bool DidNotEnd(absl::string_view header, absl::string_view state) {
  if (absl::EqualsIgnoreCase(header, "diverged")) return IsYes(state);
  const std::string lower = absl::AsciiStrToLower(state);
  static constexpr std::array kStates = {
      "crashed",   "failed",    "fail",      "killed",        "error",       "diverged",
      "nan",       "running",   "pending",   "queued",        "scheduled",   "preempting",
      "preempted", "cancelled", "canceled",  "aborted",       "oom",         "timeout",
      "stopped",   "leased",    "node_fail", "out_of_memory", "interrupted", "unhealthy"};
  return std::find(kStates.begin(), kStates.end(), lower) != kStates.end();
}

class Reader {
 public:
  Reader(TextLines& lines, std::string name, const CsvOptions& options)
      : lines_(lines), name_(std::move(name)), options_(options) {}

  absl::StatusOr<std::vector<Observations>> Read() {
    ALLO_RETURN_IF_ERROR(lines_.Open(kReadAhead));
    ALLO_ASSIGN_OR_RETURN(CsvTable table,
                          FindLayout(lines_.Ahead(), lines_.all_ahead(), name_, options_));
    layout_ = std::move(table.layout);
    pooled_.emplace(layout_, table.sample);
    Records records(lines_, layout_.separator);
    if (layout_.header_is_comment) header_seen_ = true;
    int64_t rows = 0;
    while (true) {
      if (header_seen_) records.Expect(layout_.header.size());
      ALLO_ASSIGN_OR_RETURN(const bool more, records.Next());
      if (!more) break;
      if (records.line() <= layout_.header_line || records.line() == layout_.units_line) {
        header_seen_ |= records.line() == layout_.header_line;
        above_ += records.line() < layout_.header_line && !absl::StartsWith(records.text(), "sep=");
        continue;
      }
      header_seen_ = true;
      ALLO_RETURN_IF_ERROR(Row(records));
      if (options_.progress && ++rows % kProgressRows == 0) options_.progress(lines_.bytes(), rows);
    }
    if (groups_.empty()) groups_.emplace_back(layout_, "");
    return Finish();
  }

 private:
  struct Group {
    Group(const TableLayout& layout, std::string name) : name(std::move(name)) {
      counts.resize(layout.counts.size());
      broken_lines.resize(layout.counts.size());
    }
    std::string name;
    Observations observations;
    std::vector<std::vector<double>> counts;  // of layout.counts
    std::vector<int64_t> broken_lines;
  };

  absl::Status Refuse(int64_t line, absl::string_view reason) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", name_, line, reason));
  }

  Group& GroupOf(absl::string_view label) {
    if (!groups_.empty() && groups_[last_group_].name == label) return groups_[last_group_];
    for (last_group_ = 0; last_group_ < groups_.size(); ++last_group_) {
      if (groups_[last_group_].name == label) return groups_[last_group_];
    }
    return groups_.emplace_back(layout_, std::string(label));
  }

  // Of a row whose group is not known.
  void Exclude(int64_t line, std::string reason) {
    if (groups_.empty()) groups_.emplace_back(layout_, "");
    if (!layout_[Role::kGroup]) return groups_[0].observations.Exclude(line, std::move(reason));
    broken_rows_.push_back({line, std::move(reason)});
  }

  // The header again, as in files that were joined. Another header is another table.
  absl::StatusOr<bool> IsHeader(const std::vector<absl::string_view>& fields, int64_t line) {
    int same = 0, quantities = 0, moved = 0;
    for (absl::string_view field : fields) {  // most rows that cannot be used hold some number
      if (!field.empty() && absl::ascii_isdigit(field[0])) return false;
    }
    // Empty fields behind the header's may follow.
    for (size_t f = 0; f < layout_.header.size(); ++f) {
      const std::string text(absl::StripAsciiWhitespace(PlainText(fields[f])));
      same += text == layout_.header[f];
      if (text.size() > 200 || MatchHeader(text).role > Role::kFlops) continue;
      ++quantities;
      moved += MatchHeader(layout_.header[f]).role != MatchHeader(text).role;
    }
    if (same == static_cast<int>(layout_.header.size())) return true;
    if (quantities >= 2 && moved == 0) return true;
    if (quantities < 2) return false;
    return Refuse(
        line,
        absl::StrFormat("another header (%s): two tables with different columns are in the file",
                        SafePrefix(absl::StrJoin(fields, ", "), 100)));
  }

  double Field(const std::vector<absl::string_view>& fields, Role role, std::string& reason) const {
    const CsvColumn& column = layout_[role];
    if (!column) return std::numeric_limits<double>::quiet_NaN();
    return ReadField(fields[column.field], layout_.decimal, role, column, reason);
  }

  std::string Missing(const std::vector<absl::string_view>& fields, Role role) const {
    const CsvColumn& column = layout_[role];
    const absl::string_view text = fields[column.field];
    if (text.empty()) return absl::StrCat(column.header, " is empty");
    if (role == Role::kLoss) return absl::StrFormat("loss is %s", SafePrefix(text, 20));
    return absl::StrFormat("%s is missing ('%s')", column.header, SafePrefix(text, 20));
  }

  uint64_t HashOf(const Records& records) const {
    if (!layout_.header.front().empty()) return absl::Hash<absl::string_view>()(records.text());
    // The index that pandas and R write first differs in every row.
    uint64_t hash = 0;
    for (size_t f = 1; f < records.fields().size(); ++f) {
      hash = hash * 0x9e3779b97f4a7c15 + absl::Hash<absl::string_view>()(records.fields()[f]);
    }
    return hash;
  }

  absl::Status Row(const Records& records) {
    const std::vector<absl::string_view>& fields = records.fields();
    const int64_t line = records.line();
    if (absl::StrContains(records.text(), '\0')) {
      Exclude(line, "holds a zero byte: not UTF-8 text");
      return absl::OkStatus();
    }
    if (!records.balanced()) {
      Exclude(line, "unbalanced quote");
      return absl::OkStatus();
    }
    const size_t expected = layout_.header.size();
    size_t size = fields.size();
    while (size > expected && fields[size - 1].empty()) --size;
    if (size != expected) {
      Exclude(line, absl::StrFormat("%d fields where the header has %d", size, expected));
      return absl::OkStatus();
    }
    std::string reason;
    Observation point;
    point.line = line;
    point.params = Field(fields, Role::kParams, reason);
    point.tokens = Field(fields, Role::kTokens, reason);
    point.loss = Field(fields, Role::kLoss, reason);
    if (!reason.empty()) {
      ALLO_ASSIGN_OR_RETURN(const bool again, IsHeader(fields, line));
      if (again) {
        if (headers_again_++ == 0) header_again_line_ = line;
        return absl::OkStatus();
      }
    }
    const double flops = Field(fields, Role::kFlops, reason);
    const bool has_flops = !std::isnan(flops);
    if (has_flops && reason.empty() && !(flops > 0 && std::isfinite(flops))) {
      reason = absl::StrFormat("flops is %g: a positive finite number is needed", flops);
    }
    if (has_flops) point.flops = flops;
    const bool lacks_params = std::isnan(point.params), lacks_tokens = std::isnan(point.tokens);
    if (reason.empty() && lacks_tokens && has_flops && !lacks_params) {
      point.tokens = point.flops / (6 * point.params);
    } else if (reason.empty() && lacks_params && has_flops && !lacks_tokens) {
      point.params = point.flops / (6 * point.tokens);
    }
    for (Role role : {Role::kParams, Role::kTokens, Role::kLoss}) {
      const double value = role == Role::kParams   ? point.params
                           : role == Role::kTokens ? point.tokens
                                                   : point.loss;
      if (!reason.empty() || !std::isnan(value)) continue;
      reason = layout_[role] ? Missing(fields, role) : Missing(fields, Role::kFlops);
    }
    if (layout_[Role::kWeight]) {
      point.weight = Field(fields, Role::kWeight, reason);
      if (reason.empty() && std::isnan(point.weight)) reason = Missing(fields, Role::kWeight);
    }
    if (layout_[Role::kEpochs]) {
      const double epochs = Field(fields, Role::kEpochs, reason);
      if (std::isfinite(epochs)) point.epochs = epochs;
    }
    const CsvColumn &ends = layout_[Role::kEndsCell], &state = layout_[Role::kState];
    if (ends) point.ends_cell = IsYes(fields[ends.field]);
    if (state && reason.empty() && DidNotEnd(state.header, fields[state.field])) {
      reason = absl::StrFormat("%s is '%s': the run did not end (--column state=none keeps it)",
                               state.header, SafePrefix(fields[state.field], 30));
    }
    const auto label = [&](Role role) {
      return layout_[role] ? fields[layout_[role].field] : absl::string_view();
    };
    const absl::string_view group_label = label(Role::kGroup);
    Group& group = GroupOf(layout_[Role::kGroup] && group_label.empty() ? "(empty)" : group_label);
    if (groups_.size() > kMostGroups) {
      return Refuse(line, absl::StrFormat("--group %s: the column has more than %d values",
                                          options_.group, kMostGroups));
    }
    if (!reason.empty()) {
      group.observations.Exclude(line, std::move(reason));
      return absl::OkStatus();
    }
    if (!group.observations.Add(point, label(Role::kRun), label(Role::kFamily))) {
      return absl::OkStatus();
    }
    rows_.push_back({HashOf(records), line});
    derived_tokens_ += lacks_tokens;
    derived_params_ += lacks_params;
    lacks_flops_ += layout_[Role::kFlops] && !has_flops;
    many_epochs_ += point.epochs > kManyEpochs;
    pooled_->Count(fields, point.params);
    for (size_t k = 0; k < layout_.counts.size(); ++k) {
      std::string why;
      const CsvColumn& column = layout_.counts[k].column;
      const double value =
          ReadField(fields[column.field], layout_.decimal, Role::kParams, column, why);
      if ((!why.empty() || !(value > 0) || !(value < 1e300)) && group.broken_lines[k] == 0) {
        group.broken_lines[k] = line;
      }
      group.counts[k].push_back(value);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Observations>> Finish() {
    if (layout_[Role::kGroup]) {
      groups_.erase(
          std::remove_if(groups_.begin(), groups_.end(),
                         [](const Group& group) { return group.observations.total() == 0; }),
          groups_.end());
      if (groups_.empty()) groups_.emplace_back(layout_, "");
      for (auto& [line, reason] : broken_rows_) groups_[0].observations.Exclude(line, reason);
    }
    const absl::flat_hash_map<int64_t, int64_t> repetitions = Repetitions();
    std::vector<Observations> results;
    for (Group& group : groups_) {
      Observations& observations = group.observations;
      const std::string where = layout_[Role::kGroup]
                                    ? absl::StrCat(name_, " (", layout_[Role::kGroup].header, " ",
                                                   SafePrefix(group.name, 60), ")")
                                    : name_;
      if (observations.total() == 0) {
        return absl::InvalidArgumentError(absl::StrCat(where, ": no rows after the header"));
      }
      for (size_t k = 0; k < layout_.counts.size(); ++k) {
        if (group.broken_lines[k] == 0) {
          observations.AddAlternative(layout_.counts[k].policy, std::move(group.counts[k]));
        } else {
          layout_.notes.push_back(
              absl::StrFormat("column '%s' is left out: line %d has no positive number there",
                              layout_.counts[k].column.header, group.broken_lines[k]));
        }
      }
      if (!repetitions.empty()) {
        observations.ExcludeIf([&](const Observation& point) {
          const auto found = repetitions.find(point.line);
          return found == repetitions.end() ? std::string()
                                            : absl::StrFormat("the same as line %d", found->second);
        });
      }
      ALLO_RETURN_IF_ERROR(NoneUsed(where, observations));
      ALLO_RETURN_IF_ERROR(CheckPlausible(layout_, options_, where, observations));
      ALLO_RETURN_IF_ERROR(NoneUsed(where, observations));
      observations.params_policy = layout_.params_policy;
      results.push_back(std::move(observations));
    }
    const std::vector<std::string> notes = Notes();
    for (size_t k = 0; k < results.size(); ++k) {
      results[k].read = Summary();
      results[k].read.group = groups_[k].name;
      for (const std::string& note : notes) results[k].AddNote(note);
    }
    return results;
  }

  // Rows that repeat an earlier one in every column, and the line of that one.
  absl::flat_hash_map<int64_t, int64_t> Repetitions() {
    std::sort(rows_.begin(), rows_.end());
    absl::flat_hash_map<int64_t, int64_t> repetitions;
    for (size_t first = 0, k = 1; k < rows_.size(); ++k) {
      if (rows_[k].first == rows_[first].first) {
        repetitions[rows_[k].second] = rows_[first].second;
      } else {
        first = k;
      }
    }
    rows_ = {};
    return repetitions;
  }

  static absl::Status NoneUsed(const std::string& where, const Observations& observations) {
    if (observations.used() > 0) return absl::OkStatus();
    const Exclusion& first = observations.exclusions().front();
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: none of %d rows can be used; the first, line %d: %s", where,
                        observations.total(), first.line, first.reason));
  }

  std::vector<std::string> Notes() const {
    std::vector<std::string> notes = layout_.notes;
    if (above_ > 0) {
      notes.push_back(absl::StrFormat("%d lines above the header (line %d) are passed over", above_,
                                      layout_.header_line));
    }
    if (headers_again_ > 0) {
      notes.push_back(absl::StrFormat(
          "the header stands again on line %d%s: passed over", header_again_line_,
          headers_again_ > 1 ? absl::StrFormat(" and %d more", headers_again_ - 1) : ""));
    }
    if (!layout_[Role::kTokens]) notes.push_back("D is derived as C / (6 N): the file has no D");
    if (!layout_[Role::kParams]) notes.push_back("N is derived as C / (6 D): the file has no N");
    const Unit& loss = layout_[Role::kLoss].unit;
    if (loss.per != "token") {
      notes.push_back(absl::StrFormat(
          "the loss is per %s, so that E, A, B and predicted losses are nats per %s; exponents, N* "
          "and D* do not depend on it",
          loss.per, loss.per));
    }
    if (many_epochs_ > 0) {
      notes.push_back(
          absl::StrFormat("%d points have seen their data more than %g times: the standard law "
                          "counts every token as "
                          "a fresh one",
                          many_epochs_, kManyEpochs));
    }
    if (options_.group.empty()) {
      const std::vector<std::string> pooled = pooled_->Notes();
      notes.insert(notes.end(), pooled.begin(), pooled.end());
    }
    return notes;
  }

  ReadSummary Summary() const {
    ReadSummary read;
    read.file = name_;
    read.form = absl::StrCat(Name(layout_.separator),
                             layout_.decimal == Decimal::kComma ? ", decimal comma" : "",
                             lines_.utf16()          ? ", UTF-16"
                             : lines_.windows_1252() ? ", Windows-1252"
                                                     : "");
    std::vector<bool> taken(layout_.header.size());
    const auto add = [&](const std::string& quantity, const CsvColumn& column, std::string note) {
      taken[column.field] = true;
      std::string unit = column.unit.name;
      if (quantity == "loss" && unit.empty()) {
        unit = layout_.own_export ? "nats per token" : "nats per token, as no unit is stated";
      }
      read.columns.push_back({quantity, column.header, std::move(unit), std::move(note)});
    };
    for (int role = 0; role < kRoleCount; ++role) {
      const CsvColumn& column = layout_.at[role];
      if (!column) continue;
      std::string note = column.held_out ? "held out" : column.train ? "of training" : "";
      if (static_cast<Role>(role) == Role::kEpochs) note = "kept, but no term of the standard law";
      add(RoleName(static_cast<Role>(role)), column, std::move(note));
    }
    for (const TableLayout::Count& count : layout_.counts) {
      add("N", count.column, absl::StrCat(count.policy, ", beside"));
    }
    for (size_t f = 0; f < layout_.header.size(); ++f) {
      if (!taken[f] && !layout_.header[f].empty()) read.unread.push_back(layout_.header[f]);
    }
    if (derived_tokens_ > 0) {
      read.derived.push_back(absl::StrFormat("D = C / (6 N) on %d rows", derived_tokens_));
    }
    if (derived_params_ > 0) {
      read.derived.push_back(absl::StrFormat("N = C / (6 D) on %d rows", derived_params_));
    }
    if (lacks_flops_ > 0) {
      read.derived.push_back(absl::StrFormat("C = 6 N D on %d rows", lacks_flops_));
    }
    return read;
  }

  TextLines& lines_;
  std::string name_;
  const CsvOptions& options_;
  TableLayout layout_;
  std::optional<PooledColumns> pooled_;
  std::vector<Group> groups_;
  size_t last_group_ = 0;
  std::vector<std::pair<int64_t, std::string>> broken_rows_;
  std::vector<std::pair<uint64_t, int64_t>> rows_;  // hash of a row that is used, and its line
  bool header_seen_ = false;
  int64_t above_ = 0, headers_again_ = 0, header_again_line_ = 0;
  int64_t derived_tokens_ = 0, derived_params_ = 0, lacks_flops_ = 0, many_epochs_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Observations>> ParseCsvGroups(absl::string_view text,
                                                         absl::string_view name,
                                                         const CsvOptions& options) {
  TextLines lines(text, std::string(name));
  return Reader(lines, std::string(name), options).Read();
}

absl::StatusOr<std::vector<Observations>> ReadCsvGroups(const std::string& path,
                                                        const CsvOptions& options) {
  std::string name;
  ALLO_ASSIGN_OR_RETURN(FILE* const file, OpenTable(path, name));
  TextLines lines(file, name, nullptr);
  return Reader(lines, name, options).Read();
}

absl::StatusOr<Observations> ReadCsv(const std::string& path, const CsvOptions& options) {
  ALLO_ASSIGN_OR_RETURN(std::vector<Observations> groups, ReadCsvGroups(path, options));
  return std::move(groups.front());
}

absl::StatusOr<Observations> ParseCsv(absl::string_view text, absl::string_view name,
                                      const CsvOptions& options) {
  ALLO_ASSIGN_OR_RETURN(std::vector<Observations> groups, ParseCsvGroups(text, name, options));
  return std::move(groups.front());
}

}  // namespace allometry::fitting
