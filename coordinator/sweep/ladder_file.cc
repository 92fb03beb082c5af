#include "coordinator/sweep/ladder_file.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "coordinator/sweep/number.h"

namespace allometry::sweep {
namespace {

constexpr Range kRates{0, 100, /*open_low=*/true};
constexpr size_t kMostRates = 32;

void ReadRateList(const Field& list, LadderChoice& ladder, Mistakes& mistakes) {
  for (const Field& item : ReadList(list, "[3e-3, 6e-3, 1.2e-2]", kMostRates, mistakes)) {
    if (const auto rate = ReadReal(item, kRates, mistakes)) ladder.rates.push_back(*rate);
  }
  std::sort(ladder.rates.begin(), ladder.rates.end());
  const auto twice = std::adjacent_find(ladder.rates.begin(), ladder.rates.end());
  if (twice != ladder.rates.end()) {
    mistakes.Add(list.line, absl::StrFormat("rate %s is given twice", FormatNumber(*twice)));
  }
}

// count rates from start on, each `ratio` times the one before.
void ReadRateRow(const Fields& fields, LadderChoice& ladder, Mistakes& mistakes) {
  const auto start = fields.Require("start", "the smallest rate; or rates, a list, instead");
  const auto count = fields.Require("count", "how many rates");
  if (!start || !count) return;
  const auto first = ReadReal(*start, kRates, mistakes);
  const auto number = ReadInteger(*count, {1, kMostRates}, mistakes);
  if (!first || !number) return;
  for (int64_t k = 0; k < *number; ++k) {
    const double rate = *first * std::pow(ladder.ratio, static_cast<double>(k));
    ladder.rates.push_back(ParseNumber(absl::StrFormat("%.2e", rate)).value_or(rate));
  }
}

void ReadTune(const Field& tune, absl::Span<const Section> sections, LadderChoice& ladder,
              Mistakes& mistakes) {
  const Fields fields(tune, "training.learning_rate.ladder.tune", sections, mistakes);
  if (!tune.node.IsMap()) return;
  int found = 0;
  const auto read = [&](absl::string_view key, BudgetKind kind, double most) {
    const auto field = fields.Find(key);
    if (!field) return;
    ++found;
    const auto value = ReadReal(*field, {0, most, /*open_low=*/true}, mistakes);
    if (!value) return;
    ladder.tune_kind = kind;
    ladder.tune = {*value, field->node.Scalar(), field->line};
  };
  read("tokens", BudgetKind::kTokens, 1e15);
  read("flops", BudgetKind::kFlops, 1e30);
  read("tokens_per_param", BudgetKind::kTokensPerParam, 1e9);
  if (const auto steps = fields.Find("steps")) {
    ++found;
    const auto value = ReadInteger(*steps, {1, 1e9}, mistakes);
    if (value) {
      ladder.tune_steps = *value;
      ladder.tune = {0, steps->node.Scalar(), steps->line};
    }
  }
  if (found != 1) {
    mistakes.Add(tune.line, absl::StrFormat("tune has %d budgets: one of tokens, flops, "
                                            "tokens_per_param and steps is expected",
                                            found));
  }
}

}  // namespace

bool LadderChoice::SameAs(const StageChoice& stage) const {
  const auto& other = static_cast<const LadderChoice&>(stage);
  return static_cast<const stages::LadderRule&>(*this) == other && tune_kind == other.tune_kind &&
         tune.value == other.tune.value && tune_steps == other.tune_steps;
}

bool IsLadder(const Field& learning_rate) {
  if (!learning_rate.node.IsMap()) return false;
  for (const auto& entry : learning_rate.node) {
    if (entry.first.IsScalar() && entry.first.Scalar() == "ladder") return true;
  }
  return false;
}

void ReadLadder(const Field& learning_rate, absl::Span<const Section> sections, SweepFile& file,
                Mistakes& mistakes) {
  const Fields parent(learning_rate, "training.learning_rate", sections, mistakes);
  const auto field = parent.Require("ladder", "rates and tune");
  if (!field) return;
  const Fields fields(*field, "training.learning_rate.ladder", sections, mistakes);
  if (!field->node.IsMap()) return;
  LadderChoice ladder;
  ladder.line = field->line;
  fields.Real("ratio", {1.1, 100}, &ladder.ratio);
  const auto list = fields.Find("rates");
  if (list) {
    ReadRateList(*list, ladder, mistakes);
    for (const absl::string_view key : {"start", "count"}) {
      if (const auto other = fields.Find(key)) {
        mistakes.Add(other->line, absl::StrFormat("%s beside rates: rates alone, or start and "
                                                  "count, are allowed",
                                                  key));
      }
    }
  } else {
    ReadRateRow(fields, ladder, mistakes);
  }
  if (const auto tune = fields.Require("tune", "the budget of a tuning run, {tokens: 2M}")) {
    ReadTune(*tune, sections, ladder, mistakes);
  }
  fields.Integer("max_widen", {0, 20}, &ladder.max_widen);
  fields.Flag("half_octave_on_ties", &ladder.half_octave_on_ties);
  fields.Real("tie_tolerance", {0, 0.1}, &ladder.tie_tolerance);
  fields.Flag("accept_edge", &ladder.accept_edge);
  file.ladder = std::move(ladder);
}

std::string TuningBudgetText(const LadderChoice& ladder) {
  if (ladder.tune_steps > 0) return absl::StrCat(ladder.tune.label, " steps");
  constexpr absl::string_view kUnits[] = {"tokens", "FLOPs", "tokens per parameter"};
  return absl::StrCat(ladder.tune.label, " ", kUnits[static_cast<int>(ladder.tune_kind)]);
}

}  // namespace allometry::sweep
