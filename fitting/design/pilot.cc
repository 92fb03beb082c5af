#include "fitting/design/pilot.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_shape.h"
#include "fitting/method/view.h"
#include "fitting/report/fit.h"
#include "fitting/solve/optimum.h"
#include "nlohmann/json.hpp"

namespace allometry::fitting {
namespace {

// Mean square of ln D about the middle of a curve, of our quickstart: curves of four to six of ln
// D.
constexpr double kSpread = 2.69;

AssumedLaw LawOf(const Theta& theta, const Sample& sample) {
  AssumedLaw law;
  law.floor = std::exp(theta[kLogE]);
  law.a_term = std::exp(theta[kLogA] + theta[kAlpha] * sample.x_center);
  law.b_term = std::exp(theta[kLogB] + theta[kBeta] * sample.y_center);
  law.alpha = theta[kAlpha];
  law.beta = theta[kBeta];
  return law;
}

// Null where there is none, whatever `json` is: a report may have passed through other hands.
nlohmann::json Member(const nlohmann::json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(key);
  return found == json.end() ? nlohmann::json() : *found;
}
double NumberOr(const nlohmann::json& json, const char* key, double otherwise) {
  const nlohmann::json member = Member(json, key);
  return member.is_number() ? member.get<double>() : otherwise;
}
std::string Text(const nlohmann::json& json, const char* key) {
  const nlohmann::json member = Member(json, key);
  return member.is_string() ? member.get<std::string>() : "";
}

absl::Status Refused(const std::string& name, const std::string& reason) {
  return absl::FailedPreconditionError(
      absl::StrCat("a fit of ", name, " gives no law to plan with: ", reason));
}

}  // namespace

absl::StatusOr<Pilot> PilotFromObservations(const Observations& observations,
                                            const std::string& name) {
  const Views views = MakeViews(observations, {}, false);
  const DataView& view = views.all.front();
  const Law& law = FindLaw(LawKind::kStandard);
  const Optimum optimum = FindOptimum({&law, {}, 0}, view.sample);
  if (optimum.refused.has_value()) return Refused(name, *optimum.refused);
  // The errors' own size and sharing are those about the least squares fit.
  const Optimum squares = FindOptimum({&law, {ObjectiveKind::kLsqLog, 0}, 0}, view.sample);
  Pilot pilot;
  pilot.law = LawOf(optimum.theta, view.sample);
  pilot.noise = EstimateNoise(law, view.sample, views.clusters,
                              squares.exists ? squares.theta : optimum.theta);
  if (!(pilot.noise.sd > 0)) return Refused(name, "its points scatter by nothing at all");
  pilot.source = absl::StrFormat("the pilot %s: %d evaluations of %d sizes", name,
                                 view.points.size(), views.clusters.count);
  return pilot;
}

absl::StatusOr<Pilot> PilotFromReport(const std::string& text, const std::string& name) {
  ALLO_RETURN_IF_ERROR(Annotate(CheckJsonShape(text, {.bytes = size_t{64} << 20}), name));
  const nlohmann::json report = nlohmann::json::parse(text, nullptr, false);
  const nlohmann::json fits = Member(report, "fits");
  if (!fits.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is no report of 'allo fit --json': it has no list of fits"));
  }
  for (const nlohmann::json& fit : fits) {
    if (Text(fit, "method") != "parametric") continue;
    if (const std::string why = Text(fit, "refused"); !why.empty()) return Refused(name, why);
    const nlohmann::json parameters = Member(fit, "parameters");
    const auto number = [&](const char* parameter) {
      return NumberOr(Member(parameters, parameter), "estimate", std::nan(""));
    };
    Pilot pilot = DefaultPilot();
    pilot.law = {number("E"), number("A"), number("B"), number("alpha"), number("beta")};
    const nlohmann::json objective = Member(fit, "objective");
    const double points = NumberOr(objective, "observations", 0);
    const double value = NumberOr(objective, "value", 0);
    const std::string kind = Text(objective, "name");
    if (points <= 0 || value <= 0) return Refused(name, "its objective has no value");
    if (kind == "lsq-log") {
      pilot.noise.sd = std::sqrt(value / points);
    } else if (kind == "huber" || kind == "lad") {
      // Mean |r|, of a normal error sqrt(2 / pi) sd; nearly all residuals lie beyond delta.
      const double delta = kind == "huber" ? NumberOr(objective, "delta", 0) : 0;
      const double mean = delta > 0 ? value / points / delta + delta / 2 : value / points;
      pilot.noise.sd = mean * std::sqrt(M_PI / 2);
    } else {
      return Refused(
          name, absl::StrCat("its objective is ", kind, ", not one of huber, lad and lsq-log"));
    }
    const double shared = NumberOr(Member(fit, "interval"), "intraclass_correlation", 0);
    // Of all along the curves, not in their middle.
    pilot.noise.sd /= std::sqrt(1 + kSpread * pilot.noise.tilt);
    pilot.noise.shared = std::clamp(shared, 0.0, 0.98 - pilot.noise.serial);
    for (const double parameter :
         {pilot.law.floor, pilot.law.a_term, pilot.law.b_term, pilot.law.alpha, pilot.law.beta}) {
      if (!(parameter > 0)) return Refused(name, "it lacks a positive E, A, B, alpha or beta");
    }
    pilot.source = absl::StrFormat("the report %s: %.0f evaluations", name, points);
    return pilot;
  }
  return absl::InvalidArgumentError(absl::StrCat(name, " has no parametric fit"));
}

Pilot DefaultPilot() {
  Pilot pilot;
  pilot.law = {1.59211, 264.015, 753.208, 0.804592, 0.593881};
  pilot.noise = {0.01455, 0.08, 0.9, 1, 0.7};
  pilot.source =
      "a stated default, no pilot: our own quickstart (characters, 5k to 320k parameters)";
  return pilot;
}

}  // namespace allometry::fitting
