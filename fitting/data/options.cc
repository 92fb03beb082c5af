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
constexpr std::array kWindows = {Row<WindowKind>{"auto", WindowKind::kAuto},
                                 Row<WindowKind>{"all", WindowKind::kAll},
                                 Row<WindowKind>{"tokens", WindowKind::kTokens},
                                 Row<WindowKind>{"tokens_per_param", WindowKind::kTokensPerParam},
                                 Row<WindowKind>{"flops", WindowKind::kFlops}};

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

absl::StatusOr<Window> ParseWindow(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "window '%s' %s: write auto, all, tokens>=3e6, tokens_per_param>=2 or flops>=1e18", text,
        why));
  };
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(">=", 1));
  Window window;
  const absl::StatusOr<WindowKind> kind =
      Parse("window", kWindows, absl::StripAsciiWhitespace(parts[0]));
  if (!kind.ok()) return bad("is not known");
  window.kind = *kind;
  const bool bounded = window.kind != WindowKind::kAuto && window.kind != WindowKind::kAll;
  if (bounded != (parts.size() == 2)) return bad(bounded ? "has no bound" : "takes no bound");
  if (!bounded) return window;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(parts[1]), &window.at_least) ||
      !std::isfinite(window.at_least) || window.at_least <= 0) {
    return bad("needs a positive number");
  }
  return window;
}

absl::StatusOr<std::vector<double>> ParseBudgets(absl::string_view text) {
  std::vector<double> budgets;
  if (absl::StripAsciiWhitespace(text).empty()) return budgets;
  const auto read = [](absl::string_view piece, double& value) {
    return absl::SimpleAtod(absl::StripAsciiWhitespace(piece), &value) && std::isfinite(value) &&
           value > 0;
  };
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    double value = 0;
    const std::vector<absl::string_view> ends = absl::StrSplit(piece, absl::MaxSplits("..", 1));
    double last = 0;
    if (ends.size() == 2 && read(ends[0], value) && read(ends[1], last) && value <= last) {
      // Every decade from the first on; a hair of slack, for decimal powers are not exact.
      for (int k = 0; value * std::pow(10, k) <= last * (1 + 1e-9); ++k) {
        budgets.push_back(value * std::pow(10, k));
      }
      continue;
    }
    if (!read(piece, value)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "budget '%s' is not a positive number of FLOPs: write 1e21,3e22, or 1e18..1e24 for every "
          "decade",
          piece));
    }
    budgets.push_back(value);
  }
  return budgets;
}

absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view text, const char* what,
                                                 double above) {
  std::vector<double> numbers;
  for (const std::string& piece : ParseLabels(text)) {
    double value = 0;
    if (!absl::SimpleAtod(piece, &value) || !std::isfinite(value) || value <= above) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s '%s' is not a number above %g: write 2,4 or 1e12", what, piece, above));
    }
    numbers.push_back(value);
  }
  return numbers;
}

std::vector<std::string> ParseLabels(absl::string_view text) {
  std::vector<std::string> labels;
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    piece = absl::StripAsciiWhitespace(piece);
    if (!piece.empty()) labels.emplace_back(piece);
  }
  return labels;
}

std::string Name(ObjectiveKind objective) { return NameOf(kObjectives, objective); }
std::string Name(Cluster cluster) { return NameOf(kClusters, cluster); }
std::string Name(Minimum minimum) { return NameOf(kMinima, minimum); }
std::string Name(FlopsConvention convention) { return NameOf(kConventions, convention); }
std::string Name(const Window& window) {
  const std::string kind = NameOf(kWindows, window.kind);
  if (window.kind == WindowKind::kAuto || window.kind == WindowKind::kAll) return kind;
  return absl::StrFormat("%s>=%.4g", kind, window.at_least);
}

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
  if (options.law != LawKind::kFixedFloor && options.fixed_floor != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "floor %g is the E of law fixed-floor, and another law is asked for", options.fixed_floor));
  }
  for (double budget : options.budgets) {
    if (!std::isfinite(budget) || budget <= 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("budget %g: a positive number of FLOPs is needed", budget));
    }
  }
  if (!(options.served_tokens.empty() && options.times_smaller.empty()) &&
      options.method != Method::kAll && options.method != Method::kParametric) {
    return absl::InvalidArgumentError(
        absl::StrFormat("served tokens and smaller models are read from the parametric law, and "
                        "method %s is asked for",
                        Name(options.method)));
  }
  for (double served : options.served_tokens) {
    if (!std::isfinite(served) || served <= 0 || served > 1e30) {
      return absl::InvalidArgumentError(
          absl::StrFormat("served tokens %g: allowed are numbers above 0 up to 1e30", served));
    }
  }
  for (double times : options.times_smaller) {
    if (!std::isfinite(times) || times <= 1 || times > 1e6) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%g times smaller than N*: allowed are numbers above 1 up to 1e6", times));
    }
  }
  if (options.threads < 1 || options.threads > 1024) {
    return absl::InvalidArgumentError(
        absl::StrFormat("threads %d: allowed are 1 to 1024", options.threads));
  }
  return absl::OkStatus();
}

}  // namespace allometry::fitting
