#include "coordinator/results/predictions.h"

#include <google/protobuf/util/json_util.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "absl/strings/str_format.h"
#include "coordinator/results/fit_request.h"
#include "coordinator/results/observations.h"
#include "fitting/data/options.h"

namespace allometry::coordinator {
namespace {

using Json = nlohmann::ordered_json;

const double kSameBudget = std::log(1.1);  // as fitting::ScorePrediction

fitting::Estimate ReadEstimate(const nlohmann::json& json, const char* key) {
  fitting::Estimate estimate;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) return estimate;
  const auto read = [&](const char* name) -> std::optional<double> {
    const auto value = found->find(name);
    if (value == found->end() || !value->is_number()) return std::nullopt;
    return value->get<double>();
  };
  estimate.estimate = read("estimate");
  estimate.lower = read("lower");
  estimate.upper = read("upper");
  return estimate;
}

// As fits.cc wrote it.
absl::StatusOr<fitting::Prediction> ReadPrediction(const store::StoredPrediction& stored) {
  const auto json = nlohmann::json::parse(stored.prediction.report_json, nullptr, false);
  if (!json.is_object()) {
    return absl::DataLossError(
        absl::StrFormat("fit %s: its prediction at %g FLOPs is not to be read", stored.fit_id,
                        stored.prediction.flops));
  }
  fitting::Prediction prediction;
  prediction.flops = stored.prediction.flops;
  ALLO_ASSIGN_OR_RETURN(prediction.method, fitting::ParseMethod(stored.prediction.method));
  prediction.params = ReadEstimate(json, "params");
  prediction.tokens = ReadEstimate(json, "tokens");
  prediction.loss = ReadEstimate(json, "loss");
  prediction.decades_outside = json.value("decades_outside", 0.0);
  return prediction;
}

Json ToJson(const fitting::Estimate& estimate) {
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  return {{"estimate", number(estimate.estimate)},
          {"lower", number(estimate.lower)},
          {"upper", number(estimate.upper)}};
}

Json ToJson(const store::StoredPrediction& stored, const fitting::Prediction& prediction,
            const PredictionScore& scored) {
  Json json = {{"fit_id", stored.fit_id},
               {"created_unix_us", stored.created_unix_us},
               {"method", stored.prediction.method},
               {"flops", prediction.flops},
               {"params", ToJson(prediction.params)},
               {"tokens", ToJson(prediction.tokens)},
               {"loss", ToJson(prediction.loss)},
               {"decades_outside", prediction.decades_outside}};
  if (!scored.score) {
    json["score"] = nullptr;
    json["why_not"] = scored.why_not;
    return json;
  }
  const fitting::Score& score = *scored.score;
  json["score"] = {{"size", scored.size},
                   {"params", scored.realised.params},
                   {"tokens", scored.realised.tokens},
                   {"flops", scored.realised.flops},
                   {"loss", scored.realised.loss},
                   {"log10_params", score.log10_params},
                   {"log10_tokens", score.log10_tokens},
                   {"loss_error", score.loss_error},
                   {"loss_inside", score.loss_inside ? Json(*score.loss_inside) : Json(nullptr)}};
  return json;
}

std::string Line(const store::StoredPrediction& stored, const fitting::Prediction& prediction,
                 const PredictionScore& scored) {
  std::string predicted = absl::StrFormat("%.4f", prediction.loss.estimate.value_or(0));
  if (prediction.loss.lower && prediction.loss.upper) {
    absl::StrAppendFormat(&predicted, " %.3f..%.3f", *prediction.loss.lower,
                          *prediction.loss.upper);
  }
  std::string line =
      absl::StrFormat("%-16.16s  %-12s %-8.2e  %-20s ", stored.fit_id, stored.prediction.method,
                      prediction.flops, prediction.loss.estimate ? predicted : "-");
  if (!scored.score) return absl::StrCat(line, " ", scored.why_not, "\n");
  absl::StrAppendFormat(&line, " %.4f by %s, off by %+.4f", scored.realised.loss, scored.size,
                        scored.score->loss_error);
  if (scored.score->loss_inside) {
    absl::StrAppend(&line, *scored.score->loss_inside ? ", inside" : ", OUTSIDE the interval");
  }
  if (prediction.params.estimate) {
    absl::StrAppendFormat(&line, "; log10 N/N* %+.2f", scored.score->log10_params);
  }
  return absl::StrCat(line, "\n");
}

}  // namespace

PredictionScore ScoreAgainst(const fitting::Prediction& prediction,
                             const fitting::Observations& points) {
  PredictionScore result;
  if (!prediction.loss.estimate) {
    result.why_not = "no loss was predicted";
    return result;
  }
  if (!(prediction.decades_outside > 0)) {
    result.why_not = "inside the data of its fit: not scored";
    return result;
  }
  const double fitted_to = prediction.flops / std::pow(10, prediction.decades_outside);
  double largest = 0;
  bool found = false;
  for (fitting::Observation point : points.points()) {
    point.flops = point.compute();
    largest = std::max(largest, point.flops);
    if (std::abs(std::log(point.flops / prediction.flops)) > kSameBudget) continue;
    if (point.flops <= fitted_to * (1 + 1e-9)) continue;
    if (found && point.loss >= result.realised.loss) continue;
    found = true;
    result.realised = point;
  }
  if (!found) {
    result.why_not = absl::StrFormat("waits: the largest C so far is %.2e", largest);
    return result;
  }
  if (result.realised.family >= 0) result.size = points.families()[result.realised.family];
  const absl::StatusOr<fitting::Score> score =
      fitting::ScorePrediction(prediction, result.realised);
  if (score.ok()) {
    result.score = *score;
  } else {
    result.why_not = std::string(score.status().message());
  }
  return result;
}

absl::StatusOr<v1::ListPredictionsResponse> ListPredictions(
    const store::Store& store, const v1::ListPredictionsRequest& request) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<store::StoredPrediction> stored,
                        store.Predictions(request.sweep()));
  // By what options say of observations; many differ in their budget alone.
  std::map<std::tuple<std::string, std::string, std::string, bool>, GatheredObservations> gathered;
  Json array = Json::array();
  v1::ListPredictionsResponse response;
  std::string text = absl::StrFormat("%-16s  %-12s %-8s  %-20s  %s\n", "fit", "method", "C",
                                     "predicted loss", "realised");
  for (const store::StoredPrediction& one : stored) {
    v1::FitOptions options;
    google::protobuf::util::JsonParseOptions parse;
    parse.ignore_unknown_fields = true;
    if (!google::protobuf::util::JsonStringToMessage(one.options_json, &options, parse).ok()) {
      return absl::DataLossError(
          absl::StrFormat("fit %s: its options are not to be read", one.fit_id));
    }
    const ObservationChoice choice = ToObservationChoice(options);
    const auto key = std::make_tuple(choice.params_policy, choice.flops_convention, choice.series,
                                     choice.allow_repeat);
    auto known = gathered.find(key);
    if (known == gathered.end()) {
      ALLO_ASSIGN_OR_RETURN(GatheredObservations now,
                            GatherObservations(store, request.sweep(), choice));
      known = gathered.emplace(key, std::move(now)).first;
    }
    ALLO_ASSIGN_OR_RETURN(const fitting::Prediction prediction, ReadPrediction(one));
    const PredictionScore scored = ScoreAgainst(prediction, known->second.points);
    array.push_back(ToJson(one, prediction, scored));
    absl::StrAppend(&text, Line(one, prediction, scored));
  }
  if (stored.empty()) {
    text = absl::StrFormat("nothing was predicted for %s yet: allo predict %s --budget FLOPs\n",
                           request.sweep(), request.sweep());
  }
  response.set_report_json(array.dump(2) + "\n");
  response.set_report_text(text);
  return response;
}

}  // namespace allometry::coordinator
