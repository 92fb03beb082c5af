#include "fitting/report/regime.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kClear = 2;  // standard errors

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// sqrt of the variance of a seed about its size's mean, over all sizes.
double PooledDeviation(const std::vector<SizeLosses>& sizes) {
  double squares = 0;
  size_t freedom = 0;
  for (const SizeLosses& size : sizes) {
    const double mean = Mean(size.losses);
    for (const double loss : size.losses) squares += (loss - mean) * (loss - mean);
    freedom += size.losses.size() - 1;
  }
  return std::sqrt(squares / static_cast<double>(freedom));
}

double WorstRise(const std::vector<double>& means) {
  double worst = means[1] - means[0];
  for (size_t i = 1; i < means.size(); ++i) worst = std::max(worst, means[i] - means[i - 1]);
  return worst;
}

// The means of three places in a row of which fall, rise and fall again, each clearly; empty where
// there are none.
std::vector<size_t> RiseBetweenFalls(const std::vector<double>& means,
                                     const std::vector<std::vector<double>>& clear) {
  const size_t m = means.size();
  for (size_t a = 0; a < m; ++a) {
    for (size_t b = a + 1; b < m; ++b) {
      if (means[a] - means[b] <= clear[a][b]) continue;
      for (size_t c = b + 1; c < m; ++c) {
        if (means[c] - means[b] <= clear[b][c]) continue;
        for (size_t d = c + 1; d < m; ++d) {
          if (means[c] - means[d] > clear[c][d]) return {a, b, c, d};
        }
      }
    }
  }
  return {};
}

absl::Status Check(const std::vector<SizeLosses>& sizes) {
  if (sizes.size() < 3) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d sizes: a regime needs at least three", sizes.size()));
  }
  bool repeated = false;
  for (const SizeLosses& size : sizes) {
    if (size.losses.empty()) {
      return absl::InvalidArgumentError(absl::StrFormat("N = %g has no loss", size.params));
    }
    repeated |= size.losses.size() > 1;
    for (const double loss : size.losses) {
      if (!std::isfinite(loss)) {
        return absl::InvalidArgumentError(
            absl::StrFormat("N = %g has a loss that is not finite", size.params));
      }
    }
  }
  if (!repeated) {
    return absl::InvalidArgumentError(
        "every size has one seed: a regime needs two or more, to tell a rise from noise");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Name(Regime regime) {
  switch (regime) {
    case Regime::kMonotone:
      return "monotone";
    case Regime::kClassical:
      return "classical";
    case Regime::kDoubleDescent:
      return "double-descent";
    case Regime::kUndetermined:
      return "undetermined";
  }
  return "unknown";
}

absl::StatusOr<RegimeReport> ClassifyRegime(std::vector<SizeLosses> sizes, uint64_t seed,
                                            int resamples) {
  ALLO_RETURN_IF_ERROR(Check(sizes));
  std::sort(sizes.begin(), sizes.end(),
            [](const SizeLosses& a, const SizeLosses& b) { return a.params < b.params; });
  const size_t m = sizes.size();
  RegimeReport report;
  std::vector<double> weights;
  for (const SizeLosses& size : sizes) {
    report.means.push_back(Mean(size.losses));
    weights.push_back(static_cast<double>(size.losses.size()));
  }
  const std::vector<double>& means = report.means;
  report.seed_deviation = PooledDeviation(sizes);
  std::vector<std::vector<double>> clear(m, std::vector<double>(m));  // kClear SE of a difference
  for (size_t i = 0; i < m; ++i) {
    for (size_t k = 0; k < m; ++k) {
      clear[i][k] = kClear * report.seed_deviation * std::sqrt(1 / weights[i] + 1 / weights[k]);
    }
  }

  std::vector<double> rises;
  int risen = 0;
  std::vector<double> drawn(m);
  for (int r = 0; r < resamples; ++r) {
    Random random(seed, static_cast<uint64_t>(r));
    for (size_t i = 0; i < m; ++i) {
      const std::vector<double>& losses = sizes[i].losses;
      double sum = 0;
      for (size_t k = 0; k < losses.size(); ++k) sum += losses[random.Below(losses.size())];
      drawn[i] = sum / weights[i];
    }
    rises.push_back(WorstRise(drawn));
    risen += rises.back() > report.seed_deviation;
  }
  report.rise_probability = resamples > 0 ? risen / static_cast<double>(resamples) : 0;
  report.worst_rise.estimate = WorstRise(means);
  if (resamples > 1) {
    report.worst_rise.lower = Quantile(rises, 0.025);
    report.worst_rise.upper = Quantile(rises, 0.975);
  }

  const size_t least =
      static_cast<size_t>(std::min_element(means.begin(), means.end()) - means.begin());
  if (const std::vector<size_t> at = RiseBetweenFalls(means, clear); !at.empty()) {
    report.regime = Regime::kDoubleDescent;
    report.reason = absl::StrFormat(
        "falls from N = %.3g to %.3g, rises until %.3g and falls to %.3g, each over 2 SE",
        sizes[at[0]].params, sizes[at[1]].params, sizes[at[2]].params, sizes[at[3]].params);
  } else if (least > 0 && least + 1 < m && means.back() - means[least] > clear[least][m - 1]) {
    report.regime = Regime::kClassical;
    report.reason =
        absl::StrFormat("best at N = %.3g (%.4f); the largest is %.4f above it, over 2 SE",
                        sizes[least].params, means[least], means.back() - means[least]);
  } else if (means.front() - means.back() > clear[0][m - 1] && report.rise_probability < 0.05) {
    report.regime = Regime::kMonotone;
    report.reason = absl::StrFormat("falls by %.4f over all sizes; P[a rise over %.4f] = %.3f",
                                    means.front() - means.back(), report.seed_deviation,
                                    report.rise_probability);
  } else {
    report.reason = absl::StrFormat(
        "from %.4f to %.4f, least %.4f at N = %.3g, with %.4f a seed: neither a clear fall nor a "
        "clear rise",
        means.front(), means.back(), means[least], sizes[least].params, report.seed_deviation);
  }
  return report;
}

}  // namespace allometry::fitting
