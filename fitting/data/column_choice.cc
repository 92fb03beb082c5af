#include "fitting/data/column_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/plausible.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

struct Candidate {
  int field;
  HeaderMatch match;
};

class Chooser {
 public:
  Chooser(const CsvSample& sample, const CsvOptions& options, TableLayout& layout)
      : sample_(sample), options_(options), layout_(layout) {}

  absl::Status Run() {
    for (size_t f = 0; f < layout_.header.size(); ++f) {
      const HeaderMatch match = MatchHeader(layout_.header[f]);
      if (match.role != Role::kRoles) candidates_.push_back({static_cast<int>(f), match});
    }
    std::stable_sort(
        candidates_.begin(), candidates_.end(),
        [](const Candidate& a, const Candidate& b) { return a.match.rank > b.match.rank; });
    ALLO_RETURN_IF_ERROR(TakeAsked());
    for (Role role : {Role::kRun, Role::kFamily, Role::kEpochs, Role::kEndsCell, Role::kState}) {
      TakeFirst(role);
    }
    TakeWeight();
    ALLO_RETURN_IF_ERROR(TakeLoss());
    ALLO_RETURN_IF_ERROR(TakeCount(Role::kParams));
    ALLO_RETURN_IF_ERROR(TakeCount(Role::kTokens));
    TakeOtherCounts();
    ALLO_RETURN_IF_ERROR(TakeFlops());
    ALLO_RETURN_IF_ERROR(NothingMissing());
    return TakeGroup();
  }

 private:
  absl::Status Refuse(absl::string_view reason) const {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s:%d: %s", sample_.name, layout_.header_line, reason));
  }
  std::string Headers() const { return SafePrefix(absl::StrJoin(layout_.header, ", "), 200); }
  const std::string& HeaderOf(int field) const { return layout_.header[field]; }
  bool Decided(Role role) const { return decided_[static_cast<int>(role)]; }

  absl::StatusOr<int> FieldNamed(const char* option, const std::string& text) const {
    std::vector<int> found;
    for (size_t f = 0; f < layout_.header.size(); ++f) {
      if (layout_.header[f] == text) found.push_back(static_cast<int>(f));
    }
    for (size_t f = 0; found.empty() && f < layout_.header.size(); ++f) {
      if (absl::EqualsIgnoreCase(layout_.header[f], text)) found.push_back(static_cast<int>(f));
    }
    if (found.size() == 1) return found[0];
    return Refuse(absl::StrFormat("--%s %s: %s column has that name; the header has: %s", option,
                                  text, found.empty() ? "no" : "more than one", Headers()));
  }

  CsvColumn MakeColumn(int field, const HeaderMatch& match) const {
    CsvColumn column;
    column.field = field;
    column.header = HeaderOf(field);
    column.unit = match.unit;
    column.held_out = match.loss == LossKind::kHeldOut;
    column.train = match.loss == LossKind::kTrain;
    return column;
  }

  // --column and --unit.
  absl::Status TakeAsked() {
    for (const std::string& text : options_.columns) {
      ALLO_ASSIGN_OR_RETURN(const Assignment asked, ParseAssignment("column", text, Role::kRoles));
      decided_[static_cast<int>(asked.role)] = true;
      if (asked.text == "none") continue;
      ALLO_ASSIGN_OR_RETURN(const int field, FieldNamed("column", asked.text));
      HeaderMatch match = MatchHeader(HeaderOf(field));
      if (match.role != asked.role) {
        match = {};
        match.role = asked.role;
      }
      layout_[asked.role] = MakeColumn(field, match);
      if (!match.unknown_unit.empty()) unknown_units_.push_back({asked.role, match.unknown_unit});
    }
    for (const std::string& text : options_.units) {
      ALLO_ASSIGN_OR_RETURN(const Assignment asked, ParseAssignment("unit", text, Role::kLoss));
      const std::optional<Unit> unit = ParseUnit(asked.role, asked.text);
      if (!unit) {
        return absl::InvalidArgumentError(
            absl::StrFormat("--unit %s: '%s' is no unit of %s: allowed are %s", text, asked.text,
                            RoleName(asked.role), AllowedUnits(asked.role)));
      }
      units_.push_back({asked.role, *unit});
    }
    return absl::OkStatus();
  }

  void Take(Role role, CsvColumn column, const HeaderMatch& match) {
    decided_[static_cast<int>(role)] = true;
    if (!match.unknown_unit.empty()) unknown_units_.push_back({role, match.unknown_unit});
    layout_[role] = std::move(column);
  }

  // The unit that the person gave the role.
  void ApplyAskedUnit(Role role, CsvColumn& column) const {
    for (const auto& [asked, unit] : units_) {
      if (asked != role) continue;
      column.unit = unit;
      column.unit_asked = true;
    }
  }

  bool Taken(int field) const {
    return std::any_of(layout_.at.begin(), layout_.at.end(),
                       [&](const CsvColumn& column) { return column.field == field; });
  }

  void TakeFirst(Role role) {
    if (Decided(role)) return;
    for (const Candidate& one : candidates_) {
      if (one.match.role != role || Taken(one.field)) continue;
      return Take(role, MakeColumn(one.field, one.match), one.match);
    }
  }

  void TakeWeight() {
    if (Decided(Role::kWeight)) return;
    for (const Candidate& one : candidates_) {
      if (one.match.role != Role::kWeight || Taken(one.field)) continue;
      if (!one.match.letter) {
        return Take(Role::kWeight, MakeColumn(one.field, one.match), one.match);
      }
      layout_.notes.push_back(absl::StrFormat(
          "column '%s' is not read: it may be a width; --column weight=%s takes it as the weights",
          HeaderOf(one.field), HeaderOf(one.field)));
    }
  }

  // The first line where two columns hold different values; 0 where they agree.
  size_t FirstDifference(Role role, const CsvColumn& a, const CsvColumn& b) const {
    const std::vector<double> x = sample_.Values(layout_, role, a);
    const std::vector<double> y = sample_.Values(layout_, role, b);
    for (size_t r = 0; r < x.size(); ++r) {
      if (std::isfinite(x[r]) && std::isfinite(y[r]) &&
          std::abs(x[r] - y[r]) > 1e-6 * std::abs(x[r])) {
        return r + 1;
      }
    }
    return 0;
  }

  absl::Status TwoColumns(Role role, const CsvColumn& a, const CsvColumn& b, size_t row) const {
    return Refuse(absl::StrFormat(
        "two columns for %s, '%s' and '%s', which differ (line %d: %s and %s): --column %s=%s says "
        "which to read",
        RoleName(role), a.header, b.header, sample_.lines[row - 1],
        SafePrefix(sample_.rows[row - 1][a.field], 30),
        SafePrefix(sample_.rows[row - 1][b.field], 30), RoleName(role), a.header));
  }

  absl::Status TakeLoss() {
    if (Decided(Role::kLoss)) {
      ApplyAskedUnit(Role::kLoss, layout_[Role::kLoss]);
      return absl::OkStatus();
    }
    std::vector<Candidate> losses;
    for (const Candidate& one : candidates_) {
      if (one.match.role != Role::kLoss || Taken(one.field)) continue;
      const std::vector<double> values =
          sample_.Values(layout_, Role::kLoss, MakeColumn(one.field, one.match));
      if (one.match.letter && !LikeLosses(values)) {
        NotTaken(one.field, "loss", values);
        continue;
      }
      // A column that is empty in every row holds no losses; val_loss may be logged elsewhere.
      if (!values.empty() &&
          std::none_of(values.begin(), values.end(), [](double v) { return !std::isnan(v); }) &&
          losses.empty() && HasOtherLoss(one.field)) {
        layout_.notes.push_back(absl::StrFormat(
            "column '%s' holds no number: it is not the loss that was read", HeaderOf(one.field)));
        continue;
      }
      losses.push_back(one);
    }
    if (losses.empty()) return absl::OkStatus();  // NothingMissing speaks
    const Candidate& best = losses.front();
    CsvColumn column = MakeColumn(best.field, best.match);
    if (losses.size() > 1 && losses[1].match.rank == best.match.rank) {
      const CsvColumn second = MakeColumn(losses[1].field, losses[1].match);
      const size_t row = FirstDifference(Role::kLoss, column, second);
      if (row > 0) return TwoColumns(Role::kLoss, column, second, row);
    }
    if (best.match.loss != LossKind::kHeldOut) {
      for (const std::string& header : layout_.header) {
        if (MatchHeader(header).role == Role::kLoss || !LooksLikeHeldOutLoss(header)) continue;
        return Refuse(absl::StrFormat(
            "column '%s' may be the training loss beside '%s': --column loss=%s reads the second, "
            "--column loss=%s the first",
            column.header, header, header, column.header));
      }
    }
    std::vector<std::string> others;
    for (size_t k = 1; k < losses.size(); ++k) others.push_back(HeaderOf(losses[k].field));
    if (!others.empty()) {
      layout_.notes.push_back(absl::StrFormat(
          "the loss is column '%s'%s; not read: %s; --column loss=NAME takes another",
          column.header, column.held_out ? ", the held-out one" : "", absl::StrJoin(others, ", ")));
    } else if (column.train) {
      layout_.notes.push_back(absl::StrFormat(
          "the loss is column '%s', the training loss: the table has no held-out one",
          column.header));
    }
    ApplyAskedUnit(Role::kLoss, column);
    Take(Role::kLoss, column, best.match);
    return absl::OkStatus();
  }

  bool HasOtherLoss(int field) const {
    return std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& one) {
      return one.match.role == Role::kLoss && one.field != field;
    });
  }

  void NotTaken(int field, const char* role, const std::vector<double>& values) {
    const ValueRange range = RangeOf(values);
    rejected_.push_back({field, role});
    layout_.notes.push_back(absl::StrFormat(
        "column '%s' (%s) is not read as %s: the values are not those of %s; --column %s=%s says "
        "they are",
        HeaderOf(field), range.Text(), role, role, role, HeaderOf(field)));
  }

  // N or D.
  absl::Status TakeCount(Role role) {
    if (Decided(role)) {
      ApplyAskedUnit(role, layout_[role]);
      return absl::OkStatus();
    }
    std::vector<Candidate> strong, letters, weak;
    for (const Candidate& one : candidates_) {
      if (one.match.role != role || !one.match.params_policy.empty() || Taken(one.field)) continue;
      (one.match.letter ? letters : one.match.weak ? weak : strong).push_back(one);
    }
    const auto column_of = [&](const Candidate& one) {
      CsvColumn column = MakeColumn(one.field, one.match);
      ApplyAskedUnit(role, column);
      return column;
    };
    if (!strong.empty()) {
      const CsvColumn column = column_of(strong.front());
      for (size_t k = 1; k < strong.size(); ++k) {
        const CsvColumn other = column_of(strong[k]);
        const size_t row = FirstDifference(role, column, other);
        if (row > 0) return TwoColumns(role, column, other, row);
      }
      Take(role, column, strong.front().match);
      for (const Candidate& one : letters) {
        if (FirstDifference(role, column, column_of(one)) == 0) continue;
        layout_.notes.push_back(absl::StrFormat("column '%s' is not read: '%s' is %s",
                                                HeaderOf(one.field), column.header,
                                                RoleName(role)));
      }
      return absl::OkStatus();
    }
    std::vector<Candidate> fitting, other;
    for (const std::vector<Candidate>* group : {&letters, &weak}) {
      for (const Candidate& one : *group) {
        const std::vector<double> values = sample_.Values(layout_, role, column_of(one));
        (LikeCounts(values) ? fitting : other).push_back(one);
      }
      if (!fitting.empty()) break;
    }
    if (fitting.empty() && role == Role::kParams) TakeSizeAsParams();
    const bool lacking = fitting.empty() && !Decided(role) && !HasOtherCount(role);
    // A column that is alone in its name and holds no counts is in another unit, or something else
    // (heads, depth). CheckPlausible asks, unless C and the other count can stand in for it.
    if (lacking && !other.empty() && IsNeeded(role, column_of(other.front()))) {
      fitting.push_back(other.front());
      other.clear();
    }
    for (const Candidate& one : other) {
      NotTaken(one.field, RoleName(role), sample_.Values(layout_, role, column_of(one)));
    }
    if (fitting.empty()) return absl::OkStatus();
    const CsvColumn column = column_of(fitting.front());
    for (size_t k = 1; k < fitting.size(); ++k) {
      const CsvColumn other = column_of(fitting[k]);
      const size_t row = FirstDifference(role, column, other);
      if (row > 0) return TwoColumns(role, column, other, row);
    }
    Take(role, column, fitting.front().match);
    return absl::OkStatus();
  }

  bool HasOtherCount(Role role) const {
    return std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& one) {
      return one.match.role == role && !one.match.params_policy.empty();
    });
  }

  // Whether the column must be read as the role: C and the other count cannot replace it, or C
  // shows that it is the role in another unit.
  bool IsNeeded(Role role, const CsvColumn& column) const {
    const Role counterpart = role == Role::kParams ? Role::kTokens : Role::kParams;
    const Candidate *flops = nullptr, *counts = nullptr;
    for (const Candidate& one : candidates_) {
      if (one.match.role == Role::kFlops && flops == nullptr) flops = &one;
      if (one.match.role == counterpart && counts == nullptr) counts = &one;
    }
    if (flops == nullptr || counts == nullptr) return true;
    CsvColumn c = MakeColumn(flops->field, flops->match);
    CsvColumn n = MakeColumn(counts->field, counts->match);
    ApplyAskedUnit(Role::kFlops, c);
    ApplyAskedUnit(counterpart, n);
    return RatioOf(sample_.Values(layout_, role, column), sample_.Values(layout_, counterpart, n),
                   sample_.Values(layout_, Role::kFlops, c))
        .IsOneFactor();
  }

  // A size label that is a count ("10M", 17948000) where nothing else is N.
  void TakeSizeAsParams() {
    if (Decided(Role::kParams) || !layout_[Role::kFamily]) return;
    CsvColumn column = layout_[Role::kFamily];
    ApplyAskedUnit(Role::kParams, column);
    const std::vector<double> values = sample_.Values(layout_, Role::kParams, column);
    if (!LikeCounts(values)) return;
    Take(Role::kParams, column, {});
    layout_.notes.push_back(
        absl::StrFormat("N is column '%s', a size label: the file has no other "
                        "count of the parameters",
                        column.header));
  }

  void TakeOtherCounts() {
    std::set<std::string> policies;
    // In the order of the table of spellings: total before non-embedding before active.
    for (const Candidate& one : candidates_) {
      if (one.match.role != Role::kParams || one.match.params_policy.empty() || Taken(one.field)) {
        continue;
      }
      if (!policies.insert(one.match.params_policy).second) continue;
      CsvColumn column = MakeColumn(one.field, one.match);
      ApplyAskedUnit(Role::kParams, column);
      if (!Decided(Role::kParams)) {
        Take(Role::kParams, column, one.match);
        layout_.params_policy = one.match.params_policy;
      } else {
        layout_.counts.push_back({one.match.params_policy, column});
      }
    }
  }

  absl::Status TakeFlops() {
    if (Decided(Role::kFlops)) {
      ApplyAskedUnit(Role::kFlops, layout_[Role::kFlops]);
      return absl::OkStatus();
    }
    const bool both = layout_[Role::kParams] && layout_[Role::kTokens];
    if (both && options_.flops == FlopsConvention::k6nd) return absl::OkStatus();
    for (const Candidate& one : candidates_) {
      if (one.match.role != Role::kFlops || Taken(one.field)) continue;
      CsvColumn column = MakeColumn(one.field, one.match);
      ApplyAskedUnit(Role::kFlops, column);
      const std::vector<double> values = sample_.Values(layout_, Role::kFlops, column);
      if (one.match.letter && !LikeFlops(values)) {
        NotTaken(one.field, "C", values);
        continue;
      }
      Take(Role::kFlops, column, one.match);
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // Large enough, or 6 N D in another unit.
  bool LikeFlops(const std::vector<double>& values) const {
    if (RangeOf(values).highest >= kFewestFlops) return true;
    const CsvColumn &params = layout_[Role::kParams], &tokens = layout_[Role::kTokens];
    return params && tokens &&
           RatioOf(sample_.Values(layout_, Role::kParams, params),
                   sample_.Values(layout_, Role::kTokens, tokens), values)
               .IsOneFactor();
  }

  absl::Status NothingMissing() {
    for (const auto& [role, unit] : unknown_units_) {
      if (layout_[role].unit_asked || !layout_[role]) continue;
      return Refuse(
          absl::StrFormat("the unit '%s' of column '%s' is not known: --unit %s=UNIT says it (%s)",
                          unit, layout_[role].header, RoleName(role), AllowedUnits(role)));
    }
    for (const auto& [role, unit] : units_) {
      if (layout_[role]) continue;
      if (role == Role::kFlops && options_.flops == FlopsConvention::k6nd) continue;
      return Refuse(absl::StrFormat("--unit %s=...: no column is read as %s; the header has: %s",
                                    RoleName(role), RoleName(role), Headers()));
    }
    const bool params = bool(layout_[Role::kParams]), tokens = bool(layout_[Role::kTokens]);
    const bool flops = bool(layout_[Role::kFlops]), loss = bool(layout_[Role::kLoss]);
    if (loss && (params || (flops && tokens)) && (tokens || flops)) return absl::OkStatus();
    if (layout_.header.size() < 3) {
      return Refuse(absl::StrFormat(
          "the header has %d column%s (%s): N, D and loss are needed, or C in place of N or D "
          "('allo optima' fits a table of C with the best N or loss)",
          layout_.header.size(), layout_.header.size() == 1 ? "" : "s", Headers()));
    }
    std::string what, spelled, hint;
    if (!loss) {
      what = "loss", spelled = "loss, val_loss, final_loss";
      for (const std::string& header : layout_.header) {
        if (hint.empty() && LooksLikeLoss(header)) {
          hint = absl::StrFormat("; '%s' may be one: --column loss=%s reads it", header, header);
        }
      }
    } else if (!params) {
      what = "N", spelled = "N, params, model_size";
    } else {
      what = "D", spelled = "D, tokens, training_tokens, or C";
      for (const std::string& header : layout_.header) {
        if (hint.empty() && LooksLikeSteps(header)) {
          hint = absl::StrFormat(
              "; '%s' counts steps: --column D=%s --unit D=TOKENS reads it, TOKENS being those of "
              "one step",
              header, header);
        }
      }
    }
    if (!loss || !params || !tokens) {
      for (const std::string& header : layout_.header) {
        if (hint.empty() && !tokens && LooksLikeCost(header)) {
          hint = absl::StrFormat("; '%s' is no number of FLOPs", header);
        }
      }
    }
    for (const auto& [field, role] : rejected_) {
      if (role != what && !(what == "D" && role == "C")) continue;
      const CsvColumn column = MakeColumn(field, {});
      const std::string range = RangeOf(sample_.Values(layout_, ParseRole(role), column)).Text();
      hint = absl::StrFormat(
          "; the values of column '%s' (%s) are not those of %s: --column %s=%s "
          "says they are",
          HeaderOf(field), range, role, role, HeaderOf(field));
    }
    return Refuse(absl::StrFormat("no column for %s (spelled %s)%s; the header has: %s", what,
                                  spelled, hint, Headers()));
  }

  absl::Status TakeGroup() {
    if (options_.group.empty()) return absl::OkStatus();
    ALLO_ASSIGN_OR_RETURN(const int field, FieldNamed("group", options_.group));
    layout_[Role::kGroup].field = field;
    layout_[Role::kGroup].header = HeaderOf(field);
    return absl::OkStatus();
  }

  const CsvSample& sample_;
  const CsvOptions& options_;
  TableLayout& layout_;
  std::vector<Candidate> candidates_;  // best rank first
  bool decided_[kRoleCount + 1] = {};
  std::vector<std::pair<Role, Unit>> units_;
  std::vector<std::pair<Role, std::string>> unknown_units_;
  std::vector<std::pair<int, std::string>> rejected_;  // field, role
};

}  // namespace

absl::StatusOr<Assignment> ParseAssignment(const char* option, absl::string_view text,
                                           Role otherwise) {
  const size_t equals = text.find('=');
  Assignment result;
  if (equals == absl::string_view::npos && otherwise != Role::kRoles) {
    result.role = otherwise;
    result.text = std::string(absl::StripAsciiWhitespace(text));
  } else if (equals != absl::string_view::npos) {
    result.role = ParseRole(absl::StripAsciiWhitespace(text.substr(0, equals)));
    result.text = std::string(absl::StripAsciiWhitespace(text.substr(equals + 1)));
  }
  if (result.role == Role::kRoles || result.role == Role::kGroup || result.text.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--%s '%s' is not understood: write %s, where the quantities are N, D, loss, C, run, "
        "family, weight, epochs, ends_cell, state",
        option, text,
        absl::string_view(option) == "unit" ? "N=M, D=B, C=PF-days or loss=bits"
                                            : "loss=COLUMN or N=COLUMN"));
  }
  return result;
}

absl::Status ChooseColumns(const CsvSample& sample, const CsvOptions& options,
                           TableLayout& layout) {
  return Chooser(sample, options, layout).Run();
}

}  // namespace allometry::fitting
