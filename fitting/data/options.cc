#include "fitting/data/options.h"

#include <array>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace allometry::fitting {
namespace {

template <class Kind>
struct Row {
  const char* name;
  Kind kind;
};

constexpr std::array kMethods = {
    Row<Method>{"all", Method::kAll}, Row<Method>{"parametric", Method::kParametric},
    Row<Method>{"frontier", Method::kFrontier}, Row<Method>{"isoflop", Method::kIsoflop},
    Row<Method>{"loss-compute", Method::kLossCompute}};
constexpr std::array kLaws = {
    Row<LawKind>{"standard", LawKind::kStandard}, Row<LawKind>{"coupled", LawKind::kCoupled},
    Row<LawKind>{"no-floor", LawKind::kNoFloor}, Row<LawKind>{"fixed-floor", LawKind::kFixedFloor}};
constexpr std::array kObjectives = {Row<ObjectiveKind>{"huber", ObjectiveKind::kHuber},
                                    Row<ObjectiveKind>{"lsq-log", ObjectiveKind::kLsqLog},
                                    Row<ObjectiveKind>{"lsq", ObjectiveKind::kLsq},
                                    Row<ObjectiveKind>{"lad", ObjectiveKind::kLad}};
constexpr std::array kClusters = {Row<Cluster>{"params", Cluster::kParams},
                                  Row<Cluster>{"run", Cluster::kRun},
                                  Row<Cluster>{"none", Cluster::kNone}};
constexpr std::array kMinima = {
    Row<Minimum>{"parabola", Minimum::kParabola}, Row<Minimum>{"argmin", Minimum::kArgmin},
    Row<Minimum>{"akima", Minimum::kAkima}, Row<Minimum>{"crossing", Minimum::kCrossing}};
constexpr std::array kConventions = {Row<FlopsConvention>{"auto", FlopsConvention::kAuto},
                                     Row<FlopsConvention>{"6nd", FlopsConvention::k6nd},
                                     Row<FlopsConvention>{"data", FlopsConvention::kData}};

template <class Kind, size_t n>
absl::StatusOr<Kind> Parse(const char* option, const std::array<Row<Kind>, n>& rows,
                           absl::string_view name) {
  std::string allowed;
  for (const auto& row : rows) {
    if (name == row.name) return row.kind;
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", row.name);
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s '%s' is not known: allowed are %s", option, name, allowed));
}

template <class Kind, size_t n>
std::string NameOf(const std::array<Row<Kind>, n>& rows, Kind kind) {
  for (const auto& row : rows) {
    if (row.kind == kind) return row.name;
  }
  return "unknown";
}

}  // namespace

absl::StatusOr<Method> ParseMethod(absl::string_view name) {
  return Parse("method", kMethods, name);
}
absl::StatusOr<LawKind> ParseLaw(absl::string_view name) { return Parse("law", kLaws, name); }
absl::StatusOr<ObjectiveKind> ParseObjective(absl::string_view name) {
  return Parse("objective", kObjectives, name);
}
absl::StatusOr<Cluster> ParseCluster(absl::string_view name) {
  return Parse("cluster", kClusters, name);
}
absl::StatusOr<Minimum> ParseMinimum(absl::string_view name) {
  return Parse("minimum", kMinima, name);
}
absl::StatusOr<FlopsConvention> ParseFlopsConvention(absl::string_view name) {
  return Parse("flops convention", kConventions, name);
}

absl::StatusOr<std::vector<double>> ParseBudgets(absl::string_view text) {
  std::vector<double> budgets;
  if (absl::StripAsciiWhitespace(text).empty()) return budgets;
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    double value = 0;
    if (!absl::SimpleAtod(absl::StripAsciiWhitespace(piece), &value) || !std::isfinite(value) ||
        value <= 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("budget '%s' is not a positive number of FLOPs: write 1e21,3e22", piece));
    }
    budgets.push_back(value);
  }
  return budgets;
}

std::vector<std::string> ParseLabels(absl::string_view text) {
  std::vector<std::string> labels;
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    piece = absl::StripAsciiWhitespace(piece);
    if (!piece.empty()) labels.emplace_back(piece);
  }
  return labels;
}

std::string Name(Method method) { return NameOf(kMethods, method); }
std::string Name(LawKind law) { return NameOf(kLaws, law); }
std::string Name(ObjectiveKind objective) { return NameOf(kObjectives, objective); }
std::string Name(Cluster cluster) { return NameOf(kClusters, cluster); }
std::string Name(Minimum minimum) { return NameOf(kMinima, minimum); }
std::string Name(FlopsConvention convention) { return NameOf(kConventions, convention); }

absl::Status Validate(const FitOptions& options) {
  if (!std::isfinite(options.delta) || options.delta <= 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("delta %g: a positive number is needed", options.delta));
  }
  if (options.resamples < 0 || options.resamples > 10000000) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "resamples %d: allowed are 0 (each method's own number) to 10000000", options.resamples));
  }
  if (options.law == LawKind::kFixedFloor &&
      (!std::isfinite(options.fixed_floor) || options.fixed_floor <= 0)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "law fixed-floor needs the floor E > 0 in nats, not %g", options.fixed_floor));
  }
  for (double budget : options.budgets) {
    if (!std::isfinite(budget) || budget <= 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("budget %g: a positive number of FLOPs is needed", budget));
    }
  }
  if (options.threads < 1 || options.threads > 1024) {
    return absl::InvalidArgumentError(
        absl::StrFormat("threads %d: allowed are 1 to 1024", options.threads));
  }
  return absl::OkStatus();
}

}  // namespace allometry::fitting
