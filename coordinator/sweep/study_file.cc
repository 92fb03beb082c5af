#include "coordinator/sweep/study_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/yaml_fields.h"
#include "coordinator/sweep/yaml_text.h"
#include "models/presets.h"

namespace allometry::sweep {
namespace {

constexpr size_t kMostItems = 200;
constexpr double kHuge = std::numeric_limits<double>::max();

constexpr absl::string_view kTopKeys[] = {"name",    "title",  "datasets", "first",
                                          "predict", "sweeps", "rows"};
constexpr absl::string_view kRowKeys[] = {
    "what",          "target",       "source", "paper",    "note",  "accept",   "minus",
    "over",          "plan",         "cannot", "quantity", "sweep", "method",   "objective",
    "law",           "params",       "flops",  "series",   "at",    "withhold", "sizes",
    "budget_tokens", "allow_repeat", "floor",  "metric"};
constexpr absl::string_view kTermKeys[] = {
    "quantity", "sweep",    "method", "objective",     "law",          "params", "flops", "series",
    "at",       "withhold", "sizes",  "budget_tokens", "allow_repeat", "floor",  "metric"};
constexpr absl::string_view kAcceptKeys[] = {"least", "most"};
constexpr absl::string_view kPlanKeys[] = {"preset", "tokens"};
constexpr Section kSections[] = {
    {"", kTopKeys},           {"rows", kRowKeys},           {"rows.minus", kTermKeys},
    {"rows.over", kTermKeys}, {"rows.accept", kAcceptKeys}, {"rows.plan", kPlanKeys}};

struct QuantityRow {
  absl::string_view name;
  StudyQuantity kind;
};
constexpr QuantityRow kQuantities[] = {
    {"a", StudyQuantity::kFitted},
    {"b", StudyQuantity::kFitted},
    {"alpha", StudyQuantity::kFitted},
    {"beta", StudyQuantity::kFitted},
    {"E", StudyQuantity::kFitted},
    {"c", StudyQuantity::kFitted},
    {"loss", StudyQuantity::kAtBudget},
    {"params", StudyQuantity::kAtBudget},
    {"tokens", StudyQuantity::kAtBudget},
    {"log10_params", StudyQuantity::kExtrapolated},
    {"log10_tokens", StudyQuantity::kExtrapolated},
    {"loss_gap", StudyQuantity::kExtrapolated},
    {"predicted_gap", StudyQuantity::kPredicted},
    {"plateau_flops", StudyQuantity::kPlateau},
    {"regime", StudyQuantity::kRegime},
    {"worst_rise", StudyQuantity::kWorstRise},
    {"ladder", StudyQuantity::kLadder},
    {"correlation", StudyQuantity::kCorrelation},
    {"last", StudyQuantity::kLast},
};
constexpr absl::string_view kMethods[] = {"parametric", "frontier", "isoflop", "loss-compute"};
constexpr absl::string_view kObjectives[] = {"huber", "lsq-log", "lsq", "lad"};
constexpr absl::string_view kLaws[] = {"standard", "coupled", "no-floor", "fixed-floor"};
constexpr absl::string_view kParams[] = {"paper", "total", "non-embedding", "active"};
constexpr absl::string_view kFlops[] = {"6nd", "exact"};
constexpr absl::string_view kRegimes[] = {"monotone", "classical", "double-descent",
                                          "undetermined"};
constexpr absl::string_view kLadders[] = {"non-increasing", "rising"};

bool IsWord(StudyQuantity kind) {
  return kind == StudyQuantity::kRegime || kind == StudyQuantity::kLadder;
}

class Reader {
 public:
  Reader(Study& study, Mistakes& mistakes) : study_(study), mistakes_(mistakes) {}

  void Read(const YAML::Node& root) {
    const Fields top({root, "the file", 1}, "", kSections, mistakes_);
    if (!root.IsMap()) return;
    if (const auto name = top.Require("name", "the study's name")) Text(*name, &study_.name);
    Word(top, "title", &study_.title);
    Words(top, "datasets", "[text corpus.txt --name corpus]", &study_.datasets);
    Words(top, "first", "[extrapolation-first]", &study_.first);
    Words(top, "predict", "[quickstart --budget 3e14]", &study_.predict);
    Words(top, "sweeps", "[quickstart]", &study_.sweeps);
    const auto rows = top.Require("rows", "what is compared, a list");
    if (!rows) return;
    for (const Field& row :
         ReadList(*rows, "[{quantity: a, sweep: quickstart}]", kMostItems, mistakes_)) {
      ReadRow(row);
    }
  }

 private:
  void Text(const Field& field, std::string* text) {
    if (const auto read = ReadText(field, mistakes_)) *text = *read;
  }
  void Word(const Fields& fields, absl::string_view key, std::string* text) {
    if (const auto field = fields.Find(key)) Text(*field, text);
  }
  void Words(const Fields& fields, absl::string_view key, absl::string_view example,
             std::vector<std::string>* words) {
    const auto list = fields.Find(key);
    if (!list) return;
    words->clear();
    for (const Field& item : ReadList(*list, example, kMostItems, mistakes_)) {
      if (const auto read = ReadText(item, mistakes_)) words->push_back(*read);
    }
  }

  void ReadRow(const Field& field) {
    const Fields fields(field, "rows", kSections, mistakes_);
    if (!field.node.IsMap()) return;
    StudyRow row;
    row.line = field.line;
    Word(fields, "what", &row.what);
    Word(fields, "target", &row.target);
    Word(fields, "source", &row.source);
    Word(fields, "paper", &row.paper);
    Word(fields, "note", &row.note);
    Word(fields, "cannot", &row.cannot);
    if (const auto plan = fields.Find("plan")) ReadPlan(*plan, row);
    const bool asks = fields.Find("quantity").has_value();
    const int kinds = asks + !row.plan.empty() + !row.cannot.empty();
    if (kinds != 1 && (asks || !fields.Find("plan"))) {
      mistakes_.Add(row.line,
                    "a row has one of quantity (of trained sweeps), plan (what it would cost) and "
                    "cannot (why it cannot be run)");
      return;
    }
    if (asks) ReadComparison(fields, row);
    if (row.what.empty()) row.what = NameOf(row);
    study_.rows.push_back(std::move(row));
  }

  static std::string NameOf(const StudyRow& row) {
    if (!row.term) return row.cannot.empty() ? "plan" : "not run";
    std::string name = absl::StrCat(row.term->quantity, " of ", row.term->sweep);
    if (row.minus) absl::StrAppend(&name, " - ", row.minus->sweep);
    if (row.over) absl::StrAppend(&name, " / ", row.over->sweep);
    return name;
  }

  void ReadComparison(const Fields& fields, StudyRow& row) {
    StudyTerm term;
    ReadTerm(fields, term);
    const auto minus = fields.Find("minus"), over = fields.Find("over");
    if (minus && over) mistakes_.Add(over->line, "a row has minus or over, not both");
    if (minus) row.minus = ReadOther(*minus, "rows.minus", term);
    if (over) row.over = ReadOther(*over, "rows.over", term);
    if (term.kind == StudyQuantity::kCorrelation && (minus || over)) {
      mistakes_.Add(row.line, "correlation has no minus and no over");
    }
    if (IsWord(term.kind) && (minus || over)) {
      mistakes_.Add(row.line,
                    absl::StrFormat("%s is a word: it has no minus and no over", term.quantity));
    }
    row.term = std::move(term);
    if (const auto accept = fields.Find("accept")) ReadAccept(*accept, row);
  }

  // `inherited`: of the row, whose keys hold where the other term has none of its own.
  std::optional<StudyTerm> ReadOther(const Field& field, absl::string_view path,
                                     const StudyTerm& inherited) {
    StudyTerm other = inherited;
    const Fields fields(field, path, kSections, mistakes_);
    if (!field.node.IsMap()) return std::nullopt;
    ReadTerm(fields, other);
    if (other.sweep == inherited.sweep && other.kind == StudyQuantity::kFitted) {
      mistakes_.Add(field.line,
                    absl::StrFormat("both terms are of sweep %s, and their errors are not "
                                    "independent: another sweep is expected",
                                    other.sweep));
    }
    return other;
  }

  void ReadTerm(const Fields& fields, StudyTerm& term) {
    if (const auto quantity = fields.Find("quantity")) {
      std::vector<absl::string_view> names;
      for (const QuantityRow& row : kQuantities) names.push_back(row.name);
      if (const auto name = ReadChoice(*quantity, names, mistakes_)) {
        term.quantity = *name;
        for (const QuantityRow& row : kQuantities) {
          if (row.name == *name) term.kind = row.kind;
        }
      }
    }
    if (const auto sweep = fields.Find("sweep")) Text(*sweep, &term.sweep);
    if (term.sweep.empty()) {
      mistakes_.Add(fields.line(), "a quantity needs a sweep");
    } else if (std::find(study_.sweeps.begin(), study_.sweeps.end(), term.sweep) ==
               study_.sweeps.end()) {
      mistakes_.Add(fields.line(), absl::StrFormat("sweep %s is not one of the study's: %s",
                                                   term.sweep, absl::StrJoin(study_.sweeps, ", ")));
    }
    fields.Choice("method", kMethods, &term.method);
    fields.Choice("objective", kObjectives, &term.objective);
    fields.Choice("law", kLaws, &term.law);
    fields.Choice("params", kParams, &term.params);
    fields.Choice("flops", kFlops, &term.flops);
    ReadSeries(fields, term);
    fields.Flag("allow_repeat", &term.allow_repeat);
    Word(fields, "metric", &term.metric);
    fields.Real("at", {0, 1e30, true}, &term.at);
    fields.Real("floor", {0, 100, true}, &term.floor);
    fields.Real("budget_tokens", {0, 1e15, true}, &term.budget_tokens);
    Words(fields, "sizes", "[20k, 600k]", &term.sizes);
    Words(fields, "withhold", "[600k]", &term.withhold);
    CheckTerm(fields.line(), term);
  }

  void ReadSeries(const Fields& fields, StudyTerm& term) {
    const auto series = fields.Find("series");
    if (!series) return;
    Text(*series, &term.series);
    if (term.series == "heldout" || term.series == "train" ||
        absl::StartsWith(term.series, "heldout_")) {
      return;
    }
    mistakes_.Add(series->line,
                  absl::StrFormat("series %s is no loss: heldout, train and heldout_MEMBER of a "
                                  "union are allowed",
                                  term.series));
  }

  void CheckTerm(int line, const StudyTerm& term) {
    const auto require = [&](StudyQuantity kind, bool given, const char* what) {
      if (term.kind == kind && !given) {
        mistakes_.Add(line, absl::StrFormat("quantity %s needs %s", term.quantity, what));
      }
    };
    require(StudyQuantity::kAtBudget, term.at > 0, "at, the budget in FLOPs");
    require(StudyQuantity::kPredicted, term.at > 0, "at, the budget of `allo predict`");
    require(StudyQuantity::kExtrapolated, !term.withhold.empty(),
            "withhold, the sizes that the fit does not read");
    require(StudyQuantity::kCorrelation, !term.metric.empty(),
            "metric, a series of the sweep's evaluations, such as token_accuracy_h1");
    require(StudyQuantity::kLast, !term.metric.empty(), "metric, a series of the runs: s_ern");
    require(StudyQuantity::kLast, term.sizes.size() == 1,
            "sizes, one of the sweep's, such as [2x64 imagination]");
    if ((term.law == "fixed-floor") != (term.floor > 0)) {
      mistakes_.Add(line, "law fixed-floor and floor, its E in nats, belong together");
    }
    if (term.quantity == "c" && term.method != "loss-compute") {
      mistakes_.Add(line, "quantity c is of method loss-compute");
    }
    if (term.quantity == "loss" && (term.method == "frontier" || term.method == "isoflop")) {
      mistakes_.Add(line, absl::StrFormat("method %s predicts no loss: parametric and loss-compute "
                                          "do",
                                          term.method));
    }
  }

  void ReadAccept(const Field& accept, StudyRow& row) {
    if (IsWord(row.term->kind)) {
      const bool ladder = row.term->kind == StudyQuantity::kLadder;
      const absl::Span<const absl::string_view> words =
          ladder ? absl::MakeConstSpan(kLadders) : absl::MakeConstSpan(kRegimes);
      for (const Field& item :
           ReadList(accept, ladder ? "[non-increasing]" : "[monotone]", kMostItems, mistakes_)) {
        if (const auto word = ReadChoice(item, words, mistakes_)) row.words.push_back(*word);
      }
      return;
    }
    if (accept.node.IsMap()) {
      const Fields fields(accept, "rows.accept", kSections, mistakes_);
      if (const auto least = fields.Find("least")) {
        row.low = ReadReal(*least, {-kHuge, kHuge}, mistakes_);
      }
      if (const auto most = fields.Find("most")) {
        row.high = ReadReal(*most, {-kHuge, kHuge}, mistakes_);
      }
      if (!row.low && !row.high) {
        mistakes_.Add(accept.line, "accept is empty: [low, high], {least: low} or {most: high}");
      }
      return;
    }
    const std::vector<Field> ends = ReadList(accept, "[0.40, 0.95]", 2, mistakes_);
    if (ends.size() != 2) {
      mistakes_.Add(accept.line, "accept is [low, high], {least: low} or {most: high}");
      return;
    }
    row.low = ReadReal(ends[0], {-kHuge, kHuge}, mistakes_);
    row.high = ReadReal(ends[1], {-kHuge, kHuge}, mistakes_);
    if (row.low && row.high && *row.low >= *row.high) {
      mistakes_.Add(accept.line,
                    absl::StrFormat("accept: %g is not below %g", *row.low, *row.high));
    }
  }

  void ReadPlan(const Field& list, StudyRow& row) {
    for (const Field& item :
         ReadList(list, "[{preset: wm-256/894M, tokens: 295G}]", kMostItems, mistakes_)) {
      const Fields fields(item, "rows.plan", kSections, mistakes_);
      if (!item.node.IsMap()) continue;
      const auto preset = fields.Require("preset", "a row of the paper's tables, wm-256/894M");
      const auto tokens = fields.Require("tokens", "D");
      if (!preset || !tokens) continue;
      StudyPlan plan;
      Text(*preset, &plan.preset);
      const auto count = ReadReal(*tokens, {0, 1e18, true}, mistakes_);
      const absl::StatusOr<models::Preset> found = models::FindPreset(plan.preset);
      if (!found.ok()) mistakes_.Add(preset->line, found.status().message());
      if (!found.ok() || !count) continue;
      plan.tokens = *count;
      const models::ParamCounts counts = models::CountParams(found->shape);
      plan.params = static_cast<double>(models::CountN(counts, models::ParamPolicy::kPaper));
      plan.flops_6nd = models::FlopsPerToken6N(counts, models::ParamPolicy::kPaper) * plan.tokens;
      plan.flops_exact = models::FlopsPerTokenExact(found->shape) * plan.tokens;
      row.plan.push_back(plan);
    }
  }

  Study& study_;
  Mistakes& mistakes_;
};

}  // namespace

absl::StatusOr<Study> ParseStudyFile(absl::string_view yaml, absl::string_view file_name) {
  Study study;
  Mistakes mistakes(file_name);
  ALLO_RETURN_IF_ERROR(
      ReadDocument(yaml, "a study with name, sweeps and rows", mistakes,
                   [&](const YAML::Node& root) { Reader(study, mistakes).Read(root); }));
  return study;
}

}  // namespace allometry::sweep
