#include "cli/study_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/format.h"
#include "coordinator/cost/quantity.h"

namespace allometry::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kColumns = 100;
// FLOP/s at which plans are told in days: a large GPU at about a third of its peak in bf16.
constexpr double kPlanFlopsPerS = 3e14;

std::string Show(double value) {
  const double size = std::abs(value);
  if (size != 0 && (size >= 1e5 || size < 1e-3)) return Scientific(value);
  return absl::StrFormat("%.*f", size >= 100 ? 1 : 3, value);
}

std::string Ours(const Answer& answer) {
  if (!answer.ours) return "-";
  const Measured& ours = *answer.ours;
  if (!ours.word.empty()) return ours.word;
  if (!ours.value.estimate) return "refused";
  std::string text = Show(*ours.value.estimate);
  if (ours.value.lower && ours.value.upper) {
    absl::StrAppend(&text, " [", Show(*ours.value.lower), ", ", Show(*ours.value.upper), "]");
  }
  return text;
}

std::string BandText(const sweep::StudyRow& row) {
  if (!row.words.empty()) return absl::StrJoin(row.words, " or ");
  if (row.low && row.high) return absl::StrFormat("%s to %s", Show(*row.low), Show(*row.high));
  if (row.low) return "at least " + Show(*row.low);
  if (row.high) return "at most " + Show(*row.high);
  return "";
}

std::string VerdictWord(const sweep::StudyRow& row, const Answer& answer) {
  if (!row.term) return row.plan.empty() ? "not run" : "plan";
  if (!answer.ours) return "not run";
  return answer.judged ? Name(answer.judged->verdict) : "-";
}

void Wrap(const std::string& text, size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  std::string line;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&out, margin, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  if (!line.empty()) absl::StrAppend(&out, margin, line, "\n");
}

std::string PlanText(const sweep::StudyPlan& plan) {
  return absl::StrFormat(
      "%s: N %s, D %s: %s FLOPs by 6ND, %s with attention; %s on one device at 3e14 FLOP/s",
      plan.preset, cost::CountText(plan.params), cost::CountText(plan.tokens),
      cost::FlopsText(plan.flops_6nd), cost::FlopsText(plan.flops_exact),
      cost::DurationText(plan.flops_6nd / kPlanFlopsPerS));
}

// What stands under a row.
void AppendDetails(const sweep::StudyRow& row, const Answer& answer, std::string& out) {
  constexpr size_t kIndent = 6;
  if (answer.judged) {
    Wrap(absl::StrFormat("wanted %s: %s", BandText(row), answer.judged->reason), kIndent, out);
  }
  if (answer.ours) {
    const Measured& ours = *answer.ours;
    if (ours.refused && !answer.judged) Wrap("the fit is refused: " + *ours.refused, kIndent, out);
    Wrap(ours.remark, kIndent, out);
    if (!ours.fit_ids.empty()) Wrap("fit " + ours.fit_ids, kIndent, out);
  }
  if (row.term && !answer.ours) Wrap("not run: " + answer.why_not, kIndent, out);
  if (!row.cannot.empty()) Wrap("cannot be run: " + row.cannot, kIndent, out);
  double total = 0;
  for (const sweep::StudyPlan& plan : row.plan) {
    Wrap(PlanText(plan), kIndent, out);
    total += plan.flops_6nd;
  }
  if (row.plan.size() > 1) {
    Wrap(absl::StrFormat("together %s FLOPs by 6ND: %s on one such device", cost::FlopsText(total),
                         cost::DurationText(total / kPlanFlopsPerS)),
         kIndent, out);
  }
  if (!row.source.empty()) Wrap("paper: " + row.source, kIndent, out);
  if (!row.note.empty()) Wrap("note: " + row.note, kIndent, out);
}

Json Number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json RowJson(const sweep::StudyRow& row, const Answer& answer) {
  Json json = {
      {"what", row.what},
      {"target", row.target},
      {"paper", row.paper.empty() ? Json(nullptr) : Json(row.paper)},
      {"source", row.source},
      {"accept", {{"low", Number(row.low)}, {"high", Number(row.high)}, {"words", row.words}}},
      {"verdict", VerdictWord(row, answer)},
      {"reason", answer.judged ? Json(answer.judged->reason) : Json(nullptr)}};
  if (row.term) {
    json["quantity"] = row.term->quantity;
    json["method"] = row.term->method;
    json["objective"] = row.term->objective;
    json["sweep"] = row.term->sweep;
    if (row.minus) json["minus"] = row.minus->sweep;
    if (row.over) json["over"] = row.over->sweep;
  }
  json["ours"] = nullptr;
  if (answer.ours) {
    const Measured& ours = *answer.ours;
    json["ours"] = {{"estimate", Number(ours.value.estimate)},
                    {"lower", Number(ours.value.lower)},
                    {"upper", Number(ours.value.upper)},
                    {"word", ours.word.empty() ? Json(nullptr) : Json(ours.word)},
                    {"refused", ours.refused ? Json(*ours.refused) : Json(nullptr)},
                    {"fit_id", ours.fit_ids},
                    {"remark", ours.remark}};
  }
  json["why_not"] = !row.cannot.empty()       ? Json(row.cannot)
                    : !answer.why_not.empty() ? Json(answer.why_not)
                                              : Json(nullptr);
  Json plans = Json::array();
  for (const sweep::StudyPlan& plan : row.plan) {
    plans.push_back({{"preset", plan.preset},
                     {"params", plan.params},
                     {"tokens", plan.tokens},
                     {"flops_6nd", plan.flops_6nd},
                     {"flops_exact", plan.flops_exact}});
  }
  json["plan"] = plans;
  json["note"] = row.note;
  return json;
}

}  // namespace

bool StudyReport::HasOutside() const {
  return std::any_of(answers.begin(), answers.end(), [](const Answer& answer) {
    return answer.judged && answer.judged->verdict == fitting::Verdict::kOutside;
  });
}

std::string StudyText(const StudyReport& report) {
  const sweep::Study& study = report.study;
  std::string out = absl::StrCat(study.name, "\n");
  Wrap(study.title, 2, out);
  const auto line = [&](const std::string& target, const std::string& what,
                        const std::string& paper, const std::string& ours,
                        const std::string& verdict) {
    // A long name or value takes a line of its own rather than pushing the columns away.
    std::string name = absl::StrFormat("%4s  %-32s", target, what);
    if (what.size() > 32) name = absl::StrFormat("%4s  %s\n%38s", target, what, "");
    absl::StrAppendFormat(&out, "%s %-12s %-32s %s\n", name, paper, ours, verdict);
  };
  line("#", "quantity", "paper", "ours, 95 % interval", "verdict");
  for (size_t i = 0; i < study.rows.size(); ++i) {
    const sweep::StudyRow& row = study.rows[i];
    line(row.target, row.what, row.paper.empty() ? "-" : row.paper, Ours(report.answers[i]),
         VerdictWord(row, report.answers[i]));
    AppendDetails(row, report.answers[i], out);
  }
  return out;
}

Json StudyJson(const StudyReport& report) {
  Json rows = Json::array();
  for (size_t i = 0; i < report.study.rows.size(); ++i) {
    rows.push_back(RowJson(report.study.rows[i], report.answers[i]));
  }
  return {{"study", report.study.name},
          {"title", report.study.title},
          {"sweeps", report.study.sweeps},
          {"rows", rows}};
}

}  // namespace allometry::cli
