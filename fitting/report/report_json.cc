#include "fitting/report/conclusion.h"
#include "fitting/report/fit.h"
#include "fitting/report/json_values.h"

namespace allometry::fitting {
namespace {

Json Line(int64_t line) { return line > 0 ? Json(line) : Json(nullptr); }

Json ToJson(const std::vector<NamedEstimate>& named) {
  Json json = Json::object();
  for (const NamedEstimate& one : named) {
    json[one.name] = ToJson(one.value, true);
    json[one.name]["determined"] = Determined(one.value, one.name == "A" || one.name == "B");
  }
  return json;
}

Json Maybe(const std::optional<Method>& method) {
  return method ? Json(Name(*method)) : Json(nullptr);
}

Json ToJson(const Conclusion& conclusion) {
  Json answers = Json::array(), contradictions = Json::array();
  for (const Answer& one : conclusion.answers) {
    answers.push_back({{"flops", Number(one.flops)},
                       {"sized_by", Maybe(one.sized_by)},
                       {"loss_by", Maybe(one.loss_by)},
                       {"params", ToJson(one.params, false)},
                       {"tokens", ToJson(one.tokens, false)},
                       {"tokens_per_param", ToJson(one.tokens_per_param, false)},
                       {"loss", ToJson(one.loss, false)},
                       {"decades_outside", Number(one.decades_outside)}});
  }
  for (const Contradiction& one : conclusion.contradictions) {
    contradictions.push_back(
        {{"rule", one.rule}, {"methods", Texts(one.methods)}, {"text", Text(one.text)}});
  }
  return {{"answers", answers}, {"why", Text(conclusion.why)}, {"contradictions", contradictions}};
}

Json ToJson(const WindowSummary& window) {
  return {{"window", window.window},
          {"chosen", window.chosen},
          {"why", window.why},
          {"points", window.points},
          {"total", window.total},
          {"rms_error", Number(window.rms)},
          {"mean_error", Number(window.mean)},
          {"rms_error_of_all", Number(window.rms_of_all)},
          {"mean_error_of_all", Number(window.mean_of_all)},
          {"start_error", Number(window.start)},
          {"start_p", Number(window.start_p)},
          {"between_runs", Number(window.between_runs)},
          {"settled", window.settled}};
}

Json ToJson(const IntervalSummary& interval) {
  return {{"method", interval.method},
          {"reason", interval.reason.empty() ? Json(nullptr) : Text(interval.reason)},
          {"level", 0.95},
          {"cluster_by", interval.cluster_by},
          {"clusters", interval.clusters},
          {"resamples", interval.resamples},
          {"refits_at_bounds", interval.refits_at_bounds},
          {"intraclass_correlation", Number(interval.intraclass_correlation)}};
}

Json ToJson(const TradeOff& row) {
  Json json = {{"flops", Number(row.flops)},
               {"served_tokens", row.serving ? Number(row.of) : Json(nullptr)},
               {"times_smaller", row.serving ? Json(nullptr) : Number(row.of)}};
  for (const NamedEstimate& part : row.parts) json[part.name] = ToJson(part.value, false);
  return json;
}

Json ToJson(const Certificate& certificate) {
  return {{"gradient_norm", Number(certificate.gradient_norm)},
          {"starts", certificate.starts},
          {"starts_at_optimum", certificate.starts_at_optimum},
          {"active_bounds", Texts(certificate.active_bounds)},
          {"condition_number", Number(certificate.condition_number)},
          {"flat_directions", Texts(certificate.flat_directions)}};
}

Json ToJson(const MethodFit& fit) {
  Json json = {{"method", Name(fit.method)},
               {"law", fit.law},
               {"objective",
                {{"name", fit.objective.name},
                 {"delta", Number(fit.objective.delta)},
                 {"value", Number(fit.objective.value)},
                 {"observations", fit.objective.observations}}},
               {"parameters", ToJson(fit.parameters)},
               {"interval", ToJson(fit.interval)},
               {"certificate", ToJson(fit.certificate)},
               {"refused", Text(fit.refused)},
               {"not_usable", Text(fit.not_usable)}};
  if (!fit.profile.empty()) {
    json["profile"] = {{"method", "profile likelihood, for independent errors only"},
                       {"parameters", ToJson(fit.profile)}};
  }
  Json outliers = Json::array();
  for (const Outlier& outlier : fit.outliers) {
    outliers.push_back({{"line", Line(outlier.line)},
                        {"params", Number(outlier.params)},
                        {"tokens", Number(outlier.tokens)},
                        {"loss", Number(outlier.loss)},
                        {"residual", Number(outlier.residual)},
                        {"deviations", Number(outlier.deviations)}});
  }
  json["outliers"] = outliers;
  json["notes"] = Texts(fit.notes);
  return json;
}

Json ToJson(const Agreement& agreement) {
  Json estimates = Json::array(), differences = Json::array();
  for (const MethodEstimate& one : agreement.estimates) {
    Json row = {{"method", one.method},
                {"params", Text(one.params_policy)},
                {"flops", one.flops_convention}};
    row.update(ToJson(one.value, true));
    estimates.push_back(row);
  }
  for (const Difference& one : agreement.differences) {
    differences.push_back(
        {{"first", Text(one.first)},
         {"second", Text(one.second)},
         {"difference", Number(one.difference)},
         {"lower", Number(one.lower)},
         {"upper", Number(one.upper)},
         {"covers_zero", one.covers_zero ? Json(*one.covers_zero) : Json(nullptr)}});
  }
  return {{"quantity", agreement.quantity},
          {"budget", Number(agreement.flops)},
          {"estimates", estimates},
          {"differences", differences}};
}

Json ToJson(const Prediction& prediction) {
  return {{"flops", Number(prediction.flops)},
          {"method", Name(prediction.method)},
          {"params", ToJson(prediction.params, false)},
          {"tokens", ToJson(prediction.tokens, false)},
          {"loss", ToJson(prediction.loss, false)},
          {"decades_outside", Number(prediction.decades_outside)},
          {"not_usable", Text(prediction.not_usable)}};
}

Json ToJson(const LackOfFitSummary& lack) {
  return {{"p", Number(lack.p)},
          {"rejected", lack.rejected},
          {"pattern", lack.pattern},
          {"share", Number(lack.share)}};
}

Json ToJson(const Extrapolation& one) {
  return {{"size", Text(one.family)},
          {"method", Name(one.method)},
          {"params", one.params},
          {"tokens", one.tokens},
          {"flops", one.flops},
          {"loss", one.loss},
          {"log10_params", ToJson(one.log10_params, false)},
          {"log10_tokens", ToJson(one.log10_tokens, false)},
          {"loss_gap", ToJson(one.loss_gap, false)},
          {"turns", one.turns},
          {"above_line", one.above_line()},
          {"decades_outside", Number(one.decades_outside)}};
}

Json ToJson(const BackTest& test) {
  return {{"cutoff_flops", Number(test.cutoff_flops)},
          {"fitted", test.fitted},
          {"held_out", test.held_out},
          {"mean_error", Number(test.mean_error)},
          {"rms_error", Number(test.rms_error)},
          {"rms_error_inside", Number(test.rms_error_inside)},
          {"refused", Text(test.refused)}};
}

Json ToJson(const Influence& influence) {
  Json parameters = Json::object();
  for (const Influence::Parameter& one : influence.parameters) {
    parameters[one.name] = {{"with", Number(one.with)}, {"without", Number(one.without)}};
  }
  return {{"size", Number(influence.params)},
          {"points", influence.points},
          {"shift", Number(influence.shift)},
          {"scatter", Number(influence.scatter)},
          {"scatter_without", Number(influence.scatter_without)},
          {"parameters", parameters}};
}

Json ToJson(const ReadSummary& read) {
  if (read.file.empty()) return nullptr;
  Json columns = Json::array();
  for (const ReadSummary::Column& column : read.columns) {
    columns.push_back({{"quantity", column.quantity},
                       {"header", Text(column.header)},
                       {"unit", column.unit.empty() ? Json(nullptr) : Text(column.unit)},
                       {"note", column.note.empty() ? Json(nullptr) : Text(column.note)}});
  }
  return {{"file", Text(read.file)},
          {"form", read.form},
          {"group", read.group.empty() ? Json(nullptr) : Text(read.group)},
          {"columns", columns},
          {"not_read", Texts(read.unread)},
          {"derived", Texts(read.derived)}};
}

template <class T>
Json Array(const std::vector<T>& items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(ToJson(item));
  return array;
}

}  // namespace

std::string ReportJson(const FitReport& report) {
  Json excluded = Json::array();
  for (const Exclusion& one : report.exclusions) {
    Json row = {{"line", Line(one.line)}, {"reason", Text(one.reason)}};
    if (one.points != 1) row["points"] = one.points;
    excluded.push_back(row);
  }
  const Json json = {
      {"fit_id", report.fit_id},
      {"fit_version", kFitVersion},
      {"observations", {{"used", report.used}, {"total", report.total}, {"excluded", excluded}}},
      {"read", ToJson(report.read)},
      {"conventions", {{"params", Text(report.params_policy)}, {"flops", report.flops_convention}}},
      {"conclusion", ToJson(report.conclusion)},
      {"window", report.window ? ToJson(*report.window) : Json(nullptr)},
      {"lack_of_fit", report.lack_of_fit ? ToJson(*report.lack_of_fit) : Json(nullptr)},
      {"fits", Array(report.fits)},
      {"agreement", Array(report.agreement)},
      {"predictions", Array(report.predictions)},
      {"trade_offs", Array(report.trade_offs)},
      {"back_test", report.back_test ? ToJson(*report.back_test) : Json(nullptr)},
      {"influence", report.influence ? ToJson(*report.influence) : Json(nullptr)},
      {"extrapolations", Array(report.extrapolations)},
      {"notes", Texts(report.notes)}};
  return Dump(json);
}

}  // namespace allometry::fitting
