#include "fitting/data/plausible.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/str_format.h"

namespace allometry::fitting {
namespace {

constexpr double kFewestParams = 1000;  // of a model, 5 % of the rows aside
constexpr double kFewestTokens = 1e5;   // of the longest run of a table
constexpr double kWholeBelow = 1e5;     // a count below this has no fraction
constexpr double kMostTokensPerParam = 1e6, kFewestTokensPerParam = 1e-4;
constexpr double kLargestVocabulary = 262144;  // ln is 12.5 nats
constexpr size_t kSampled = 20000;             // points by which the losses are judged
constexpr double kDiverged = 25;               // nats: no predictor of text does so badly
constexpr double kOneFactor = 1.5;             // 5 % to 95 % of C / (6 N D) in "every row"
constexpr double kMostFactor = 2.5;            // one factor within it may be how FLOPs were counted
constexpr double kMostWideFactor = 10;         // many factors: their median within it
constexpr double kRowFactor = 30;              // of one row against the median

// Kaplan et al. (2020), eq. 1.5: nats per token of byte-pair tokens, within 15 % for tables of
// language models whose counts and units are right.
double LanguageLoss(double params, double tokens) {
  return std::pow(std::pow(8.8e13 / params, .076 / .095) + 5.4e13 / tokens, .095);
}

double Quantile(std::vector<double>& values, double p) {
  const size_t at = std::min(values.size() - 1, static_cast<size_t>(p * values.size()));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[at];
}

bool Fraction(double value) { return value < kWholeBelow && value != std::floor(value); }

struct Cause {
  double factor;
  const char* text;
};
// What C / (6 N D) is where C, N or D is in another unit.
constexpr Cause kCauses[] = {
    {1 / 8.64e19, "C is in PF-days: --unit C=PF-days"},
    {1 / 8.64e16, "C is in TF-days: --unit C=8.64e16"},
    {1 / 8.64e22, "C is in EF-days: --unit C=8.64e22"},
    {1e-24, "C is in units of 1e24 FLOPs: --unit C=1e24"},
    {1e-21, "C is in units of 1e21 FLOPs: --unit C=1e21"},
    {1e-18, "C is in units of 1e18 FLOPs: --unit C=1e18"},
    {1e-15, "C is in units of 1e15 FLOPs: --unit C=1e15"},
    {1e-12, "C is in units of 1e12 FLOPs: --unit C=1e12"},
    {1e-9, "C is in units of 1e9 FLOPs: --unit C=1e9"},
    {1e-6, "C is in units of 1e6 FLOPs: --unit C=1e6"},
    {1e3, "N or D is in thousands: --unit N=K or --unit D=K"},
    {1e6, "N or D is in millions: --unit N=M or --unit D=M"},
    {1e9, "N or D is in billions: --unit N=B or --unit D=B"},
    {1e12, "N and D are in millions: --unit N=M --unit D=M"},
    {1e15, "N is in millions and D in billions: --unit N=M --unit D=B"},
    {1e18, "N and D are in billions: --unit N=B --unit D=B"},
    {1. / 3, "C is 2 N D, a forward pass alone: --unit C=3"},
    {1. / 6, "C is N D: --unit C=6"},
};

std::string CauseOf(double factor) {
  for (const Cause& cause : kCauses) {
    if (std::abs(std::log(factor / cause.factor)) < std::log(1.3)) return cause.text;
  }
  if (factor > 1e-22 && factor < 1e-13) {
    return absl::StrFormat(
        "C may be in GPU hours or money, which are no FLOPs: --unit C=%.3g if one of them is so "
        "many "
        "FLOPs",
        1 / factor);
  }
  return absl::StrFormat("--unit C=%.3g makes it FLOPs if that is what C is in", 1 / factor);
}

class Check {
 public:
  Check(const TableLayout& layout, const CsvOptions& options, const std::string& name,
        Observations& observations)
      : layout_(layout), options_(options), name_(name), observations_(observations) {}

  absl::Status Run() {
    if (layout_.own_export || observations_.used() == 0) return absl::OkStatus();
    ALLO_RETURN_IF_ERROR(Counts());
    ALLO_RETURN_IF_ERROR(Compute());
    return Losses();
  }

 private:
  absl::Status Refuse(absl::string_view reason) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", reason));
  }
  int64_t FirstLine(const std::function<bool(const Observation&)>& match) const {
    for (const Observation& point : observations_.points()) {
      if (match(point)) return point.line;
    }
    return 0;
  }
  bool Asked(Role role) const { return layout_[role].unit_asked; }
  std::string ColumnOf(Role role) const {
    return layout_[role] ? absl::StrFormat("%s (column '%s')", RoleName(role), layout_[role].header)
                         : std::string(RoleName(role));
  }

  template <class Get>
  absl::Status WholeCounts(Role role, Get get) {
    int64_t fractions = 0;
    for (const Observation& point : observations_.points()) fractions += Fraction(get(point));
    if (fractions == 0 || !layout_[role] || Asked(role)) return absl::OkStatus();
    const int64_t line = FirstLine([&](const Observation& p) { return Fraction(get(p)); });
    if (fractions * 2 > observations_.used()) {
      double value = 0;
      for (const Observation& point : observations_.points()) {
        if (point.line == line) value = get(point);
      }
      return Refuse(absl::StrFormat(
          "line %d: %s is %.10g, and a count has no fraction: if it is in thousands, millions or "
          "billions, --unit %s=K, M or B says so; a logarithm must be undone first",
          line, ColumnOf(role), value, RoleName(role)));
    }
    // Of few rows it is how they were computed: N = C / (6 D).
    return absl::OkStatus();
  }

  absl::Status Counts() {
    const auto params = [](const Observation& p) { return p.params; };
    const auto tokens = [](const Observation& p) { return p.tokens; };
    // With C beside both, the factor between them says which unit it is.
    if (ExplainedByCompute()) return absl::OkStatus();
    ALLO_RETURN_IF_ERROR(WholeCounts(Role::kParams, params));
    ALLO_RETURN_IF_ERROR(WholeCounts(Role::kTokens, tokens));
    std::vector<double> sizes, per_param;
    double longest = 0, largest = 0, smallest = observations_.points().front().params;
    for (const Observation& p : observations_.points()) {
      sizes.push_back(p.params);
      per_param.push_back(p.tokens / p.params);
      longest = std::max(longest, p.tokens);
      largest = std::max(largest, p.params);
      smallest = std::min(smallest, p.params);
    }
    if (!Asked(Role::kParams)) {
      if (Quantile(sizes, .05) < kFewestParams) {
        return Refuse(absl::StrFormat(
            "%s is from %.6g to %.6g: no model has so few parameters; if it is in thousands, "
            "millions or billions, --unit N=K, M or B says so, and --unit N=1 that it is right",
            ColumnOf(Role::kParams), smallest, largest));
      }
      observations_.ExcludeIf([&](const Observation& p) {
        return p.params < kFewestParams
                   ? absl::StrFormat(
                         "N is %.6g where the other rows have up to %.4g: no model has "
                         "so few parameters (--unit N=1 keeps it)",
                         p.params, largest)
                   : std::string();
      });
    }
    if (longest < kFewestTokens && !Asked(Role::kTokens)) {
      return Refuse(absl::StrFormat(
          "%s is at most %.6g tokens: if it is in thousands, millions or billions, --unit D=K, M "
          "or "
          "B says so, and --unit D=1 that it is right%s",
          ColumnOf(Role::kTokens), longest,
          layout_[Role::kTokens] ? ""
                                 : " (it is derived as C / (6 N): --unit C=... if C is no FLOPs)"));
    }
    if (Asked(Role::kParams) && Asked(Role::kTokens)) return absl::OkStatus();
    const double ratio = Quantile(per_param, .5);
    if (ratio > kMostTokensPerParam || ratio < kFewestTokensPerParam) {
      return Refuse(absl::StrFormat(
          "D / N is %.3g tokens per parameter in the middle row: N or D is in another unit; --unit "
          "N=K, M or B, or --unit D=K, M or B says which, and --unit N=1 --unit D=1 that both are "
          "right",
          ratio));
    }
    return absl::OkStatus();
  }

  // Of rows whose C was given beside N and D.
  ComputeRatio GivenRatio() const {
    std::vector<double> params, tokens, flops;
    if (!layout_[Role::kFlops]) return {};
    for (const Observation& p : observations_.points()) {
      if (p.flops <= 0) continue;
      params.push_back(p.params);
      tokens.push_back(p.tokens);
      flops.push_back(p.flops);
    }
    return RatioOf(params, tokens, flops);
  }

  // C is 6 N D of another count of the parameters: those active, of a mixture of experts.
  bool OfOtherCount() {
    for (const Alternative& other : observations_.alternatives()) {
      std::vector<double> tokens, flops;
      for (const Observation& p : observations_.points()) {
        tokens.push_back(p.tokens);
        flops.push_back(p.flops);
      }
      const ComputeRatio ratio = RatioOf(other.params, tokens, flops);
      if (!ratio.IsOneFactor() || ratio.median > kMostFactor || ratio.median < 1 / kMostFactor) {
        continue;
      }
      observations_.AddNote(absl::StrFormat(
          "C is that of the %s parameters, which are another column than N", other.params_policy));
      return true;
    }
    return false;
  }

  bool ExplainedByCompute() const {
    if (options_.flops != FlopsConvention::kAuto) return false;
    const ComputeRatio ratio = GivenRatio();
    return ratio.IsOneFactor() && (ratio.median > kMostFactor || ratio.median < 1 / kMostFactor);
  }

  absl::Status Compute() {
    if (options_.flops != FlopsConvention::kAuto) return absl::OkStatus();
    const ComputeRatio ratio = GivenRatio();
    if (ratio.rows == 0) return absl::OkStatus();
    const std::string either = "; --flops 6nd leaves C out, --flops data takes it as it stands";
    if (ratio.IsOneFactor()) {
      if (ratio.median > kMostFactor || ratio.median < 1 / kMostFactor) {
        if (OfOtherCount()) return absl::OkStatus();
        return Refuse(absl::StrFormat(
            "C / (6 N D) is %.4g in every row, where 1 is the compute of training: %s%s",
            ratio.median, CauseOf(ratio.median), either));
      }
    } else if (ratio.median > kMostWideFactor || ratio.median < 1 / kMostWideFactor) {
      return Refuse(
          absl::StrFormat("C / (6 N D) is from %.3g to %.3g, where 1 is the compute of training: "
                          "column '%s' is not "
                          "the FLOPs of these N and D, or N or D is in another unit%s",
                          ratio.lowest, ratio.highest, layout_[Role::kFlops].header, either));
    }
    observations_.ExcludeIf([&](const Observation& p) {
      if (p.flops <= 0) return std::string();
      const double one = p.flops / (6 * p.params * p.tokens);
      if (std::abs(std::log(one / ratio.median)) < std::log(kRowFactor)) return std::string();
      return absl::StrFormat(
          "C / (6 N D) is %.3g where the other rows have %.3g: N, D or C is wrong", one,
          ratio.median);
    });
    return absl::OkStatus();
  }

  absl::Status Losses() {
    const CsvColumn& column = layout_[Role::kLoss];
    const bool nats = column.unit.stated || column.unit_asked;
    std::vector<double> losses, plain, logs;
    const std::vector<Observation>& points = observations_.points();
    const size_t stride = points.size() / kSampled + 1;
    for (size_t i = 0; i < points.size(); i += stride) {
      const Observation& p = points[i];
      const double expected = LanguageLoss(p.params, p.tokens);
      losses.push_back(p.loss);
      plain.push_back(p.loss / expected);
      logs.push_back(std::log(p.loss) / expected);
    }
    const double median = Quantile(losses, .5);
    if (!nats) {
      const std::string answer =
          ": --unit perplexity, --unit bits or --unit nats says what the column holds";
      if (median > std::log(kLargestVocabulary)) {
        return Refuse(absl::StrFormat(
            "%s has a median of %.4g, above ln(vocabulary) of any model (%.1f nats)%s",
            ColumnOf(Role::kLoss), median, std::log(kLargestVocabulary), answer));
      }
      const double spread = Quantile(plain, .95) / Quantile(plain, .05);
      const double log_middle = Quantile(logs, .5);
      const double log_spread = Quantile(logs, .95) / Quantile(logs, .05);
      if (losses.size() >= 8 && spread > 1.8 && log_middle > .6 && log_middle < 1.4 &&
          log_spread > 0 && log_spread < 1.4) {
        return Refuse(
            absl::StrFormat("%s (median %.4g) looks like perplexities: its logarithm "
                            "follows the losses of language models%s",
                            ColumnOf(Role::kLoss), median, answer));
      }
      const double middle = Quantile(plain, .5);
      if (losses.size() >= 8 && middle > 1.28 && middle < 2.1 && spread < 1.35) {
        return Refuse(absl::StrFormat(
            "%s is %.2f times the losses in nats that language models have at these N and D, and "
            "bits are 1.44 times nats%s",
            ColumnOf(Role::kLoss), middle, answer));
      }
    }
    if (median < std::log(kLargestVocabulary)) {
      observations_.ExcludeIf([&](const Observation& p) {
        return p.loss > kDiverged ? absl::StrFormat("loss is %.6g: the run diverged", p.loss)
                                  : std::string();
      });
    }
    return absl::OkStatus();
  }

  const TableLayout& layout_;
  const CsvOptions& options_;
  const std::string& name_;
  Observations& observations_;
};

}  // namespace

std::string ValueRange::Text() const {
  if (values == 0) return "no numbers";
  if (lowest == highest) return absl::StrFormat("%.6g", lowest);
  return absl::StrFormat("%.6g to %.6g", lowest, highest);
}

ValueRange RangeOf(const std::vector<double>& values) {
  ValueRange range;
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    range.lowest = range.values == 0 ? value : std::min(range.lowest, value);
    range.highest = range.values == 0 ? value : std::max(range.highest, value);
    ++range.values;
  }
  return range;
}

bool LikeCounts(const std::vector<double>& values) {
  std::vector<double> finite;
  for (double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty()) return false;
  return Quantile(finite, .05) > 0 && *std::max_element(finite.begin(), finite.end()) >= 10000 &&
         Quantile(finite, .5) >= kFewestParams;
}

bool LikeLosses(const std::vector<double>& values) {
  bool fraction = false;
  const ValueRange range = RangeOf(values);
  for (double value : values) fraction |= std::isfinite(value) && value != std::floor(value);
  return range.values > 0 && range.lowest > 0 && range.lowest < 30 &&
         (fraction || range.values < 3);
}

bool ComputeRatio::IsOneFactor() const {
  return rows >= 3 && highest / lowest < kOneFactor && range > 3;
}

ComputeRatio RatioOf(const std::vector<double>& params, const std::vector<double>& tokens,
                     const std::vector<double>& flops) {
  std::vector<double> ratios;
  double least = 0, most = 0;
  for (size_t i = 0; i < params.size(); ++i) {
    const double six = 6 * params[i] * tokens[i], ratio = flops[i] / six;
    if (!(ratio > 0) || !std::isfinite(ratio)) continue;
    least = ratios.empty() ? six : std::min(least, six);
    most = ratios.empty() ? six : std::max(most, six);
    ratios.push_back(ratio);
  }
  ComputeRatio result;
  result.rows = static_cast<int64_t>(ratios.size());
  if (ratios.empty()) return result;
  result.median = Quantile(ratios, .5);
  result.lowest = Quantile(ratios, .05);
  result.highest = Quantile(ratios, .95);
  result.range = most / least;
  return result;
}

absl::Status CheckPlausible(const TableLayout& layout, const CsvOptions& options,
                            const std::string& name, Observations& observations) {
  return Check(layout, options, name, observations).Run();
}

}  // namespace allometry::fitting
