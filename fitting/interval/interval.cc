#include "fitting/interval/interval.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/solve/parallel.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr int kFewClusters = 20;  // up to here the jackknife, beyond the bootstrap
// Percentiles of .025 and .975 of fewer may not even hold the estimate between them.
constexpr int kFewestResamples = 100;

Estimate Shown(const Quantity& quantity, double value) {
  Estimate estimate;
  estimate.estimate = quantity.logarithmic() ? std::exp(value) : value;
  return estimate;
}

// value +- half, on the reported scale.
void SetBounds(const Quantity& quantity, double lower, double upper, Estimate& estimate) {
  if (!std::isfinite(lower) || !std::isfinite(upper)) return;
  estimate.lower = quantity.logarithmic() ? std::exp(lower) : lower;
  estimate.upper = quantity.logarithmic() ? std::exp(upper) : upper;
}

// Lengthens an interval by the difference to another fit, on the side to which that differs.
void Lengthen(const Quantity& quantity, double difference, Estimate& estimate) {
  if (!estimate.lower || !std::isfinite(difference)) return;
  double& end = difference < 0 ? *estimate.lower : *estimate.upper;
  end = quantity.logarithmic() ? end * std::exp(difference) : end + difference;
}

// Refits with other cluster weights: the sample's points in the order of their clusters.
class Resampler {
 public:
  Resampler(const Problem& problem, const Sample& sample, const Clusters& clusters,
            const Theta& theta, size_t refit_points)
      : problem_(problem),
        sample_(sample),
        members_(clusters.Members()),
        theta_(theta),
        box_(Box::For(sample, *problem.law)),
        one_step_(sample.size() > refit_points) {
    if (!one_step_) return;
    // LAD has no curvature: its one step borrows that of a Huber loss of the residuals' size.
    Objective smooth = problem.objective;
    if (smooth.kind == ObjectiveKind::kLad) {
      std::vector<double> sizes;
      for (size_t i = 0; i < sample.size(); ++i) {
        sizes.push_back(std::abs(Residual(*problem.law, smooth, sample, theta, i, nullptr)));
      }
      smooth = {ObjectiveKind::kHuber, Median(std::move(sizes))};
    }
    for (const auto& members : members_) {
      Sample own = Empty();
      for (int i : members) own.Append(sample, i, 1);
      sums_.push_back(Differentiate(*problem.law, smooth, own, theta));
    }
  }

  bool one_step() const { return one_step_; }

  Refit Draw(const std::vector<int>& times) const {
    if (one_step_) return Step(times);
    Sample drawn = Empty();
    drawn.Reserve(sample_.size() * 2);
    for (size_t c = 0; c < members_.size(); ++c) {
      if (times[c] == 0) continue;
      for (int i : members_[c]) drawn.Append(sample_, i, times[c]);
    }
    return RefitFrom(problem_, drawn, theta_, box_);
  }

 private:
  Sample Empty() const {
    Sample sample;
    sample.x_center = sample_.x_center;
    sample.y_center = sample_.y_center;
    return sample;
  }

  Refit Step(const std::vector<int>& times) const {
    const int p = problem_.law->free;
    Eigen::VectorXd gradient = Eigen::VectorXd::Zero(p);
    Eigen::MatrixXd hessian = Eigen::MatrixXd::Zero(p, p);
    for (size_t c = 0; c < members_.size(); ++c) {
      gradient += times[c] * sums_[c].gradient.head(p);
      hessian += times[c] * sums_[c].hessian.topLeftCorner(p, p);
    }
    Refit refit;
    refit.theta = theta_;
    refit.theta.head(p) -= hessian.ldlt().solve(gradient);
    for (int i = 0; i < p; ++i) {
      refit.at_bound |= refit.theta[i] <= box_.lower[i] || refit.theta[i] >= box_.upper[i];
      refit.theta[i] = std::clamp(refit.theta[i], box_.lower[i], box_.upper[i]);
    }
    refit.converged = true;
    return refit;
  }

  const Problem& problem_;
  const Sample& sample_;
  std::vector<std::vector<int>> members_;
  Theta theta_;
  Box box_;
  bool one_step_;
  std::vector<Derivatives> sums_;  // one per cluster, when one step is all that is taken
};

void Jackknife(const Problem& problem, const Sample& sample, const Clusters& clusters,
               const Theta& theta, const std::vector<Quantity>& quantities,
               const IntervalOptions& options, Intervals& result) {
  const Resampler resampler(problem, sample, clusters, theta, options.refit_points);
  const int groups = clusters.count;
  std::vector<Refit> refits(groups);
  ParallelFor(groups, options.threads, options.cancelled, [&](int left_out) {
    std::vector<int> times(groups, 1);
    times[left_out] = 0;
    refits[left_out] = resampler.Draw(times);
  });
  result.summary.method = "delete-one-cluster jackknife, t";
  if (resampler.one_step()) result.summary.method += ", one Newton step a refit";
  result.summary.resamples = groups;
  for (const Refit& refit : refits) result.summary.refits_at_bounds += refit.at_bound;
  const double t = StudentQuantile(0.975, groups - 1);
  for (size_t k = 0; k < quantities.size(); ++k) {
    const double value = quantities[k].Value(*problem.law, sample, theta, nullptr);
    double squares = 0;
    for (const Refit& refit : refits) {
      const double change = quantities[k].Value(*problem.law, sample, refit.theta, nullptr) - value;
      squares += change * change;
    }
    const double half = t * std::sqrt(squares * (groups - 1) / groups);
    SetBounds(quantities[k], value - half, value + half, result.estimates[k]);
    result.estimates[k].df = groups - 1;
  }
}

void Bootstrap(const Problem& problem, const Sample& sample, const Clusters& clusters,
               const Theta& theta, const std::vector<Quantity>& quantities,
               const IntervalOptions& options, Intervals& result) {
  const Resampler resampler(problem, sample, clusters, theta, options.refit_points);
  const int groups = clusters.count;
  std::vector<Refit> refits(options.resamples);
  ParallelFor(options.resamples, options.threads, options.cancelled, [&](int b) {
    Random random(options.seed, b);
    std::vector<int> times(groups, 0);
    for (int draw = 0; draw < groups; ++draw) ++times[random.Below(groups)];
    refits[b] = resampler.Draw(times);
  });
  result.summary.method = "cluster bootstrap, percentile";
  if (resampler.one_step()) result.summary.method += ", one Newton step a refit";
  result.summary.resamples = options.resamples;
  for (const Refit& refit : refits) result.summary.refits_at_bounds += refit.at_bound;
  for (size_t k = 0; k < quantities.size(); ++k) {
    std::vector<double> values;
    values.reserve(refits.size());
    for (const Refit& refit : refits) {
      values.push_back(quantities[k].Value(*problem.law, sample, refit.theta, nullptr));
    }
    std::sort(values.begin(), values.end());
    SetBounds(quantities[k], Quantile(values, 0.025), Quantile(values, 0.975), result.estimates[k]);
  }
}

}  // namespace

Intervals MakeIntervals(const Problem& problem, const Sample& sample, const Clusters& clusters,
                        const Optimum& optimum, const std::vector<Quantity>& quantities,
                        const IntervalOptions& options) {
  Intervals result;
  IntervalSummary& summary = result.summary;
  const Law& law = *problem.law;
  summary.method = "none";
  summary.cluster_by = clusters.by;
  summary.clusters = clusters.count;
  for (const Quantity& quantity : quantities) {
    result.estimates.push_back(
        Shown(quantity, quantity.Value(law, sample, optimum.theta, nullptr)));
  }
  if (optimum.refused) {
    summary.reason = "the fit is refused";
    return result;
  }
  std::vector<double> residuals(sample.size());
  for (size_t i = 0; i < sample.size(); ++i) {
    residuals[i] = Residual(law, problem.objective, sample, optimum.theta, i, nullptr);
  }
  summary.intraclass_correlation = IntraclassCorrelation(residuals, clusters.of, clusters.count);
  if (clusters.count < kFewestClusters) {
    summary.reason = absl::StrFormat(
        "%d clusters (by %s): at least %d are needed, fewer cannot show their own spread",
        clusters.count, clusters.by, kFewestClusters);
    return result;
  }
  bool use_cr2 = problem.objective.squares();
  std::vector<double> psi;
  if (problem.objective.kind == ObjectiveKind::kHuber) {
    const double delta = problem.objective.delta;
    std::vector<double> sizes;
    for (double r : residuals) sizes.push_back(std::abs(r));
    const double median = Median(std::move(sizes));
    if (median <= delta) {
      const double n = static_cast<double>(sample.size());
      const double s0 = 1.4826 * median * std::sqrt(n / (n - law.free));
      const double k = s0 > 0 ? 2 * NormalCdf(delta / s0) - 1 : 1;
      for (double r : residuals) psi.push_back(std::clamp(r, -delta, delta) / k);
      use_cr2 = true;
    }
  }
  if (use_cr2) {
    summary.method =
        psi.empty() ? "CR2, t with Bell-McCaffrey df" : "CR2 of psi(r)/k, t with Bell-McCaffrey df";
    const Cr2 cr2 = ComputeCr2(problem, sample, clusters, optimum.theta, quantities,
                               psi.empty() ? nullptr : &psi);
    for (size_t k = 0; k < quantities.size(); ++k) {
      const double value = quantities[k].Value(law, sample, optimum.theta, nullptr);
      const double half = StudentQuantile(0.975, cr2.df[k]) * cr2.error[k];
      SetBounds(quantities[k], value - half, value + half, result.estimates[k]);
      result.estimates[k].df = cr2.df[k];
    }
  } else if (clusters.count <= kFewClusters) {
    Jackknife(problem, sample, clusters, optimum.theta, quantities, options, result);
  } else if (options.resamples < kFewestResamples) {
    summary.reason = absl::StrFormat("%d resamples: at least %d are needed for percentiles",
                                     options.resamples, kFewestResamples);
  } else {
    Bootstrap(problem, sample, clusters, optimum.theta, quantities, options, result);
  }
  if (options.other) {
    for (size_t k = 0; k < quantities.size(); ++k) {
      const double difference = quantities[k].Value(law, sample, *options.other, nullptr) -
                                quantities[k].Value(law, sample, optimum.theta, nullptr);
      Lengthen(quantities[k], difference, result.estimates[k]);
    }
    summary.method += ", lengthened by the difference to a window that begins later";
  }
  for (const Estimate& estimate : result.estimates) {
    if (!estimate.lower && summary.reason.empty())
      summary.reason = "a resample leaves a quantity undetermined";
  }
  // A parameter that is given, not fitted, has no interval.
  for (size_t k = 0; k < quantities.size(); ++k) {
    if (law.kind == LawKind::kFixedFloor && quantities[k].kind == QuantityKind::kFloor) {
      result.estimates[k].lower.reset();
      result.estimates[k].upper.reset();
      result.estimates[k].df.reset();
    }
  }
  return result;
}

}  // namespace allometry::fitting
