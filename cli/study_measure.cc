#include "cli/study_measure.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/study_series.h"
#include "fitting/data/csv.h"
#include "fitting/report/plateau.h"
#include "fitting/report/regime.h"
#include "nlohmann/json.hpp"
#include "proto/run_choices.h"

namespace allometry::cli {
namespace {

using sweep::StudyQuantity;
using sweep::StudyTerm;
using Json = nlohmann::json;

bool NoConnection(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsUnauthenticated(status);
}

fitting::Estimate ReadEstimate(const Json& json) {
  fitting::Estimate estimate;
  const auto number = [&](const char* name) -> std::optional<double> {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number()) return std::nullopt;
    return found->get<double>();
  };
  estimate.estimate = number("estimate");
  estimate.lower = number("lower");
  estimate.upper = number("upper");
  return estimate;
}

// The object of `list` whose `method` is that, or nullptr.
const Json* OfMethod(const Json& list, const std::string& method) {
  for (const Json& one : list) {
    if (one.value("method", "") == method) return &one;
  }
  return nullptr;
}

absl::Status Missing(const StudyTerm& term) {
  return absl::NotFoundError(
      absl::StrFormat("the %s fit of %s has no %s", term.method, term.sweep, term.quantity));
}

absl::StatusOr<Measured> FromFit(const StudyTerm& term, const Json& report) {
  Measured measured;
  measured.fit_ids = report.value("fit_id", "");
  const Json* const fit = OfMethod(report.at("fits"), term.method);
  if (fit != nullptr && fit->at("refused").is_string()) {
    measured.refused = fit->at("refused").get<std::string>();
  }
  if (term.kind == StudyQuantity::kFitted) {
    if (fit == nullptr || !fit->at("parameters").contains(term.quantity)) {
      if (measured.refused) return measured;
      return Missing(term);
    }
    measured.value = ReadEstimate(fit->at("parameters").at(term.quantity));
    const auto& why = fit->at("interval").at("reason");
    if (!measured.refused && !measured.value.lower && why.is_string()) {
      measured.remark = why.get<std::string>();
    }
    return measured;
  }
  const Json* found = nullptr;
  if (term.kind == StudyQuantity::kAtBudget) {
    found = OfMethod(report.at("predictions"), term.method);
  } else {
    for (const Json& one : report.at("extrapolations")) {
      if (one.value("method", "") == term.method && one.value("size", "") == term.withhold[0]) {
        found = &one;
      }
    }
  }
  if (found == nullptr || !found->contains(term.quantity)) {
    if (measured.refused) return measured;
    return Missing(term);
  }
  measured.value = ReadEstimate(found->at(term.quantity));
  std::vector<std::string> remarks;
  if (const double outside = found->value("decades_outside", 0.0); outside > 0) {
    remarks.push_back(absl::StrFormat("%.2f decades of C beyond the fitted data", outside));
  }
  if (!found->value("turns", true)) {
    remarks.push_back("the withheld curve was not trained past the line: the ratios are bounds");
  }
  if (found->value("above_line", false)) {
    remarks.push_back("the withheld run is above the predicted loss");
  }
  measured.remark = absl::StrJoin(remarks, "; ");
  return measured;
}

// C of every point under the run's own count of matmuls.
void UseExactFlops(const v1::GetSweepResponse& sweep, const fitting::Observations& from,
                   fitting::Observations& to) {
  std::map<std::string, double> exact;
  for (const v1::Run& run : sweep.runs()) {
    exact[absl::StrCat(run.run_id())] = run.flops_per_token_exact();
  }
  for (fitting::Observation point : from.points()) {
    const std::string run = point.run < 0 ? "" : from.runs()[point.run];
    const std::string family = point.family < 0 ? "" : from.families()[point.family];
    if (const auto found = exact.find(run); found != exact.end()) {
      point.flops = found->second * point.tokens;
    }
    to.Add(point, run, family);
  }
}

absl::StatusOr<Measured> FromPlateaus(const StudyTerm& term,
                                      const fitting::Observations& observations,
                                      StudySource& source) {
  const std::vector<std::string>& known = observations.families();
  for (const std::string& size : term.sizes) {
    if (std::find(known.begin(), known.end(), size) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrFormat("%s has no size %s: it has %s", term.sweep,
                                                      size, absl::StrJoin(known, ", ")));
  }
  fitting::Observations exact;
  if (term.flops == "exact") {
    ALLO_ASSIGN_OR_RETURN(const v1::GetSweepResponse sweep, source.Sweep(term.sweep));
    UseExactFlops(sweep, observations, exact);
  }
  const fitting::Plateau plateau =
      fitting::FindPlateau(term.flops == "exact" ? exact : observations, term.sizes);
  if (!plateau.flops.estimate) {
    return absl::FailedPreconditionError(
        absl::StrFormat("no curve of %s is long enough for a plateau", term.sweep));
  }
  Measured measured;
  measured.value = plateau.flops;
  std::vector<std::string> levels;
  for (const fitting::CurvePlateau& one : plateau.curves) {
    levels.push_back(absl::StrFormat("%s %.4f", one.family, one.plateau));
  }
  measured.remark = absl::StrFormat("plateaus of %s: %s", term.sweep, absl::StrJoin(levels, ", "));
  if (!plateau.note.empty()) absl::StrAppend(&measured.remark, "; ", plateau.note);
  return measured;
}

// Of each run the loss at the wanted tokens (its last ones when 0), by N.
absl::StatusOr<std::vector<fitting::SizeLosses>> LossesBySize(
    const StudyTerm& term, const fitting::Observations& observations) {
  struct Last {
    double params = 0, loss = 0, distance = 0;
  };
  std::map<int32_t, Last> last;  // by run
  for (const fitting::Observation& point : observations.points()) {
    const double distance = term.budget_tokens > 0
                                ? std::abs(std::log(point.tokens / term.budget_tokens))
                                : -point.tokens;
    const auto [found, inserted] =
        last.try_emplace(point.run, Last{point.params, point.loss, distance});
    if (!inserted && distance < found->second.distance) {
      found->second = {point.params, point.loss, distance};
    }
  }
  std::map<double, fitting::SizeLosses> sizes;
  for (const auto& [run, one] : last) {
    if (term.budget_tokens > 0 && one.distance > std::log(1.1)) {
      return absl::FailedPreconditionError(
          absl::StrFormat("a run of %s has no evaluation within 10 %% of %g tokens", term.sweep,
                          term.budget_tokens));
    }
    fitting::SizeLosses& size = sizes[one.params];
    size.params = one.params;
    size.losses.push_back(one.loss);
  }
  std::vector<fitting::SizeLosses> ordered;
  for (const auto& [params, size] : sizes) ordered.push_back(size);
  return ordered;
}

absl::StatusOr<Measured> FromSizes(const StudyTerm& term,
                                   const fitting::Observations& observations) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<fitting::SizeLosses> sizes,
                        LossesBySize(term, observations));
  ALLO_ASSIGN_OR_RETURN(const fitting::RegimeReport report, fitting::ClassifyRegime(sizes));
  Measured measured;
  if (term.kind == StudyQuantity::kRegime) {
    measured.word = Name(report.regime);
  } else {
    measured.value = report.worst_rise;
  }
  std::vector<std::string> means;
  for (size_t i = 0; i < report.means.size(); ++i) {
    means.push_back(absl::StrFormat("%.4f", report.means[i]));
  }
  measured.remark =
      absl::StrFormat("%s: %s (%s)", term.sweep, absl::StrJoin(means, " "), report.reason);
  return measured;
}

// The rates that the sweep's ladder has chosen, from the smallest size up.
absl::StatusOr<Measured> FromLadder(const StudyTerm& term, StudySource& source) {
  ALLO_ASSIGN_OR_RETURN(const v1::GetSweepResponse sweep, source.Sweep(term.sweep));
  const v1::StageResult* ladder = nullptr;
  for (const v1::StageResult& stage : sweep.sweep().stages()) {
    if (stage.name() == "ladder") ladder = &stage;
  }
  if (ladder == nullptr) {
    return absl::FailedPreconditionError(absl::StrFormat("%s has no ladder", term.sweep));
  }
  const Json chosen = Json::parse(ladder->result_json(), nullptr, false);
  if (!ladder->done() || !chosen.is_object()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the ladder of %s has not chosen every rate yet", term.sweep));
  }
  std::map<double, std::pair<std::string, double>> rates;  // by N
  for (const v1::Run& run : sweep.runs()) {
    const auto rate = chosen.find(run.size());
    if (rate != chosen.end() && rate->is_number()) {
      rates[static_cast<double>(run.n_params())] = {run.size(), rate->get<double>()};
    }
  }
  Measured measured;
  measured.word = "non-increasing";
  double before = 0;
  std::vector<std::string> list;
  for (const auto& [params, chosen_rate] : rates) {
    const auto& [size, rate] = chosen_rate;
    if (before > 0 && rate > before) measured.word = "rising";
    before = rate;
    list.push_back(absl::StrFormat("%s %g", size, rate));
  }
  measured.remark = absl::StrFormat("%s: %s", term.sweep, absl::StrJoin(list, ", "));
  return measured;
}

// The first prediction at that budget: a later one may have seen more.
absl::StatusOr<Measured> FromPredictions(const StudyTerm& term, StudySource& source) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, source.Predictions(term.sweep));
  const Json list = Json::parse(text, nullptr, false);
  if (!list.is_array()) {
    return absl::InternalError(absl::StrFormat("the predictions of %s are no JSON", term.sweep));
  }
  for (const Json& one : list) {
    if (one.value("method", "") != term.method) continue;
    if (std::abs(one.value("flops", 0.0) / term.at - 1) > 1e-6) continue;
    if (!one.at("score").is_object()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("the prediction of %s at %g FLOPs has no score: %s", term.sweep, term.at,
                          one.value("why_not", "")));
    }
    const Json& score = one.at("score");
    const double realised = score.value("loss", 0.0);
    const fitting::Estimate predicted = ReadEstimate(one.at("loss"));
    Measured measured;
    measured.value = fitting::Minus({realised, realised, realised, std::nullopt}, predicted);
    measured.fit_ids = one.value("fit_id", "");
    measured.remark = absl::StrFormat(
        "predicted %.4f before, %.4f by %s since; log10 N/N* %+.2f, log10 D/D* %+.2f",
        predicted.estimate.value_or(0), realised, score.value("size", ""),
        score.value("log10_params", 0.0), score.value("log10_tokens", 0.0));
    return measured;
  }
  return absl::NotFoundError(
      absl::StrFormat("nothing was predicted for %s by %s at %g FLOPs: allo predict %s --budget %g",
                      term.sweep, term.method, term.at, term.sweep, term.at));
}

absl::StatusOr<Measured> Measure(const StudyTerm& term, StudySource& source) {
  switch (term.kind) {
    case StudyQuantity::kFitted:
    case StudyQuantity::kAtBudget:
    case StudyQuantity::kExtrapolated: {
      ALLO_ASSIGN_OR_RETURN(const std::string text, source.Fit(term));
      const Json report = Json::parse(text, nullptr, false);
      if (!report.is_object()) {
        return absl::InternalError(absl::StrFormat("the fit of %s is no JSON", term.sweep));
      }
      return FromFit(term, report);
    }
    case StudyQuantity::kPlateau:
    case StudyQuantity::kRegime:
    case StudyQuantity::kWorstRise: {
      ALLO_ASSIGN_OR_RETURN(const std::string csv, source.Observations(term));
      ALLO_ASSIGN_OR_RETURN(const fitting::Observations observations,
                            fitting::ParseCsv(csv, term.sweep, fitting::OwnExport()));
      if (term.kind == StudyQuantity::kPlateau) return FromPlateaus(term, observations, source);
      return FromSizes(term, observations);
    }
    case StudyQuantity::kPredicted:
      return FromPredictions(term, source);
    case StudyQuantity::kLadder:
      return FromLadder(term, source);
    case StudyQuantity::kCorrelation:
      return CorrelationOfEvaluations(term, source);
    case StudyQuantity::kLast:
      return LastOfSeries(term, source);
  }
  return absl::InternalError("unknown quantity");
}

// "" when all of the sweep's cells, evaluations and policies are done.
absl::StatusOr<std::string> Unfinished(const std::string& name, StudySource& source) {
  ALLO_ASSIGN_OR_RETURN(const v1::GetSweepResponse sweep, source.Sweep(name));
  for (const auto& [stage, what] : {std::pair(run::Stage::kEvaluate, "evaluations"),
                                    std::pair(run::Stage::kPolicy, "policies")}) {
    int runs = 0, done = 0;
    for (const v1::Run& run : sweep.runs()) {
      if (StageOf(run) != stage) continue;
      ++runs;
      done += run.state() == v1::RUN_SUCCEEDED ? 1 : 0;
    }
    if (done < runs) return absl::StrFormat("%s has %d of %d %s done", name, done, runs, what);
  }
  if (sweep.sweep().cells_done() == sweep.sweep().cells()) return std::string();
  return absl::StrFormat("%s has %d of %d cells done", name, sweep.sweep().cells_done(),
                         sweep.sweep().cells());
}

void AddRemark(const std::string& remark, Measured& to) {
  if (remark.empty() || to.remark.find(remark) != std::string::npos) return;
  absl::StrAppend(&to.remark, to.remark.empty() ? "" : "; ", remark);
}

Measured Combine(const Measured& first, const Measured& second, bool difference) {
  Measured both;
  if (difference && HasPairs(first, second)) {
    both.value = PairedDifference(first, second);
    AddRemark("a difference for each seed", both);
  } else {
    both.value = difference ? fitting::Minus(first.value, second.value)
                            : fitting::Over(first.value, second.value);
  }
  both.refused = first.refused ? first.refused : second.refused;
  both.fit_ids = first.fit_ids;
  if (!second.fit_ids.empty()) {
    absl::StrAppend(&both.fit_ids, both.fit_ids.empty() ? "" : ", ", second.fit_ids);
  }
  AddRemark(first.remark, both);
  AddRemark(second.remark, both);
  return both;
}

// r itself is to be in the band, and its interval on one side of 0: of a handful of sizes no
// interval would lie in the band whole.
fitting::Judged JudgeCorrelation(const fitting::Estimate& ours, const fitting::Band& band) {
  using fitting::Verdict;
  if (!ours.estimate || !ours.lower || !ours.upper) {
    return {Verdict::kUndetermined, "it has no interval"};
  }
  if (*ours.upper < band.low || *ours.lower > band.high) {
    return {Verdict::kOutside, "its whole interval is out of the band"};
  }
  if (!band.Contains(*ours.estimate)) return {Verdict::kUndetermined, "r is out of the band"};
  if (*ours.lower <= 0 && *ours.upper >= 0) {
    return {Verdict::kUndetermined, "its interval contains 0"};
  }
  return {Verdict::kWithin, "r is in the band, and its interval on one side of 0"};
}

std::optional<fitting::Judged> JudgeRow(const sweep::StudyRow& row, const Measured& ours) {
  if (!row.words.empty()) {
    const bool expected =
        std::find(row.words.begin(), row.words.end(), ours.word) != row.words.end();
    const fitting::Verdict verdict = expected ? fitting::Verdict::kWithin
                                              : (ours.word == Name(fitting::Regime::kUndetermined)
                                                     ? fitting::Verdict::kUndetermined
                                                     : fitting::Verdict::kOutside);
    return fitting::Judged{verdict, absl::StrFormat("it is %s", ours.word)};
  }
  if (!row.low && !row.high) return std::nullopt;
  fitting::Band band;
  if (row.low) band.low = *row.low;
  if (row.high) band.high = *row.high;
  if (row.term->kind == StudyQuantity::kCorrelation) return JudgeCorrelation(ours.value, band);
  return fitting::Judge(ours.value, ours.refused, band);
}

}  // namespace

absl::StatusOr<Answer> AnswerRow(const sweep::StudyRow& row, StudySource& source) {
  Answer answer;
  const auto measure = [&]() -> absl::StatusOr<Measured> {
    ALLO_ASSIGN_OR_RETURN(Measured ours, Measure(*row.term, source));
    ALLO_ASSIGN_OR_RETURN(const std::string unfinished, Unfinished(row.term->sweep, source));
    const std::optional<StudyTerm>& other = row.minus ? row.minus : row.over;
    if (other) {
      ALLO_ASSIGN_OR_RETURN(const Measured second, Measure(*other, source));
      ours = Combine(ours, second, row.minus.has_value());
      ALLO_ASSIGN_OR_RETURN(const std::string also, Unfinished(other->sweep, source));
      AddRemark(also, ours);
    }
    AddRemark(unfinished, ours);
    return ours;
  };
  absl::StatusOr<Measured> ours = measure();
  if (!ours.ok()) {
    if (NoConnection(ours.status())) return ours.status();
    answer.why_not = std::string(ours.status().message());
    return answer;
  }
  answer.judged = JudgeRow(row, *ours);
  answer.ours = *std::move(ours);
  return answer;
}

}  // namespace allometry::cli
