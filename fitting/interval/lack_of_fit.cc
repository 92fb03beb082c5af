#include "fitting/interval/lack_of_fit.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "fitting/interval/leverage.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr double kExplained = 1e-6;   // of z's own square: what is left of it is rounding
constexpr double kNoiseFree = 1e-10;  // rms of ln L: rounding has patterns, and no meaning
constexpr double kWinsor = 3;       // robust standard deviations: what lies further is a stray run
constexpr int kExactClusters = 13;  // up to 2^12 sign changes are all tried
constexpr int kMostFlips = 4096;

struct Pattern {
  std::string name;
  Eigen::VectorXd z;
};

std::vector<Pattern> Patterns(const Sample& sample, const Clusters& clusters) {
  const int n = static_cast<int>(sample.size());
  const Eigen::Map<const Eigen::VectorXd> x(sample.x.data(), n), y(sample.y.data(), n);
  const Eigen::VectorXd log_flops = x + y;
  std::vector<Pattern> patterns;
  const double top = log_flops.maxCoeff() - std::log(10.0);
  patterns.push_back({"the top decade of C", (log_flops.array() >= top).cast<double>().matrix()});
  std::vector<double> first(clusters.count, y.maxCoeff());
  for (int i = 0; i < n; ++i) first[clusters.of[i]] = std::min(first[clusters.of[i]], y[i]);
  Eigen::VectorXd start(n);
  for (int i = 0; i < n; ++i) start[i] = y[i] < first[clusters.of[i]] + std::log(2.0) ? 1 : 0;
  patterns.push_back({"the first factor of two in D of each size", start});
  patterns.push_back({"the square of ln N", x.array().square().matrix()});
  patterns.push_back({"the square of ln D", y.array().square().matrix()});
  patterns.push_back({"the product of ln N and ln D", (x.array() * y.array()).matrix()});
  return patterns;
}

// How many sign changes of the clusters give a largest |sum| of at least `observed`.
double ShareOfFlips(const std::vector<std::vector<double>>& terms, double observed, int clusters) {
  const bool exact = clusters <= kExactClusters;
  const int flips = exact ? 1 << (clusters - 1) : kMostFlips;
  Random random(0, static_cast<uint64_t>(clusters));
  int reached = 0;
  std::vector<double> sign(clusters, 1.0);
  for (int f = 0; f < flips; ++f) {
    // The first is the data's own; the last cluster's sign stands, for |sum| does not see all.
    for (int c = 0; f > 0 && c < clusters; ++c) {
      sign[c] = exact ? ((f >> c & 1) != 0 ? -1.0 : 1.0) : random.Sign();
    }
    double largest = 0;
    for (const std::vector<double>& own : terms) {
      double sum = 0;
      for (int c = 0; c < clusters; ++c) sum += sign[c] * own[c];
      largest = std::max(largest, std::abs(sum));
    }
    reached += largest >= observed * (1 - 1e-12);
  }
  return static_cast<double>(reached) / flips;
}

}  // namespace

LackOfFit TestLackOfFit(const Law& law, const Sample& sample, const Clusters& clusters,
                        const Theta& theta) {
  LackOfFit result;
  const int n = static_cast<int>(sample.size()), p = law.free;
  if (clusters.count < kFewestClusters || n <= p + 2) return result;
  const Objective of_log{ObjectiveKind::kLsqLog, 0};
  Eigen::MatrixXd j(n, p);
  Eigen::VectorXd residual(n);
  for (int i = 0; i < n; ++i) {
    Theta gradient;
    const double root = std::sqrt(sample.weight[i]);
    residual[i] = root * Residual(law, of_log, sample, theta, i, &gradient);
    j.row(i) = root * gradient.head(p);
  }
  std::vector<double> sizes(n);
  for (int i = 0; i < n; ++i) sizes[i] = std::abs(residual[i]);
  const double most = kWinsor * 1.4826 * Median(sizes);
  for (int i = 0; i < n && most > 0; ++i) residual[i] = std::clamp(residual[i], -most, most);
  if (!(residual.squaredNorm() > kNoiseFree * kNoiseFree * n)) return result;
  const Eigen::MatrixXd gram = j.transpose() * j;
  const Eigen::LLT<Eigen::MatrixXd> cholesky(gram);
  if (cholesky.info() != Eigen::Success) return result;
  const Eigen::MatrixXd r = cholesky.matrixU();
  const Eigen::MatrixXd r_inverse =
      r.triangularView<Eigen::Upper>().solve(Eigen::MatrixXd::Identity(p, p));
  const Eigen::MatrixXd q = j * r_inverse;
  const std::vector<std::vector<int>> members = clusters.Members();
  std::vector<Leverage> leverage;
  for (const std::vector<int>& own : members) {
    Eigen::MatrixXd of_cluster = Eigen::MatrixXd::Zero(p, p);
    for (int i : own) of_cluster.noalias() += j.row(i).transpose() * j.row(i);
    leverage.push_back(MakeLeverage(of_cluster, r_inverse));
  }
  std::vector<std::vector<double>> of_contrast;  // of each, its clusters' terms
  for (Pattern& pattern : Patterns(sample, clusters)) {
    Eigen::VectorXd z = pattern.z;
    for (int i = 0; i < n; ++i) z[i] *= std::sqrt(sample.weight[i]);
    Eigen::VectorXd l = z - q * (q.transpose() * z);
    l -= q * (q.transpose() * l);
    if (!(l.squaredNorm() > kExplained * z.squaredNorm())) continue;
    std::vector<double> terms;
    double squares = 0, sum = 0;
    for (size_t c = 0; c < members.size(); ++c) {
      Eigen::VectorXd q_r = Eigen::VectorXd::Zero(p), q_l = q_r;
      double lr = 0;
      for (int i : members[c]) {
        q_r += q.row(i).transpose() * residual[i];
        q_l += q.row(i).transpose() * l[i];
        lr += l[i] * residual[i];
      }
      terms.push_back(lr + q_l.dot(leverage[c].adjust * q_r));
      squares += terms.back() * terms.back();
      sum += terms.back();
    }
    if (!(squares > 0)) continue;
    for (double& term : terms) term /= std::sqrt(squares);
    Contrast contrast;
    contrast.name = pattern.name;
    contrast.size = l.dot(residual) / l.squaredNorm();
    contrast.share = l.dot(residual) * l.dot(residual) / (l.squaredNorm() * residual.squaredNorm());
    contrast.t = std::abs(sum) / std::sqrt(squares);
    result.contrasts.push_back(contrast);
    of_contrast.push_back(std::move(terms));
  }
  if (result.contrasts.empty()) return result;
  double observed = 0;
  for (const Contrast& contrast : result.contrasts) {
    if (contrast.t <= observed) continue;
    observed = contrast.t;
    result.worst = contrast.name;
    result.share = contrast.share;
    result.rms = std::sqrt(contrast.share * residual.squaredNorm() / n);
  }
  result.p = ShareOfFlips(of_contrast, observed, clusters.count);
  return result;
}

}  // namespace allometry::fitting
