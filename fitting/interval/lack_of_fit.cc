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

struct Pattern {
  std::string name;
  Eigen::VectorXd z;
};

std::vector<Pattern> Patterns(const Sample& sample) {
  const int n = static_cast<int>(sample.size());
  const Eigen::Map<const Eigen::VectorXd> x(sample.x.data(), n), y(sample.y.data(), n);
  const Eigen::VectorXd log_flops = x + y;
  std::vector<Pattern> patterns;
  const double top = log_flops.maxCoeff() - std::log(10.0);
  patterns.push_back({"the top decade of C", (log_flops.array() >= top).cast<double>().matrix()});
  patterns.push_back({"the square of ln N", x.array().square().matrix()});
  patterns.push_back({"the square of ln D", y.array().square().matrix()});
  patterns.push_back({"the product of ln N and ln D", (x.array() * y.array()).matrix()});
  return patterns;
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
  for (Pattern& pattern : Patterns(sample)) {
    Eigen::VectorXd z = pattern.z;
    for (int i = 0; i < n; ++i) z[i] *= std::sqrt(sample.weight[i]);
    Eigen::VectorXd l = z - q * (q.transpose() * z);
    l -= q * (q.transpose() * l);
    if (!(l.squaredNorm() > kExplained * z.squaredNorm())) continue;
    const double sum = l.dot(residual);
    double variance = 0, trace = 0, diagonal = 0, crossed = 0;
    Eigen::MatrixXd zz = Eigen::MatrixXd::Zero(p, p);
    for (size_t c = 0; c < members.size(); ++c) {
      Eigen::VectorXd q_r = Eigen::VectorXd::Zero(p), q_l = q_r;
      double lr = 0, ll = 0;
      for (int i : members[c]) {
        q_r += q.row(i).transpose() * residual[i];
        q_l += q.row(i).transpose() * l[i];
        lr += l[i] * residual[i];
        ll += l[i] * l[i];
      }
      const Eigen::MatrixXd& adjust = leverage[c].adjust;
      const double part = lr + q_l.dot(adjust * q_r);
      variance += part * part;
      // A_c l_c = l_c + Q_c w, so its square and its image under Q_c' follow from Q_c'Q_c.
      const Eigen::VectorXd w = adjust * q_l;
      const Eigen::VectorXd image = q_l + leverage[c].k * w;
      const double square = ll + 2 * q_l.dot(w) + w.dot(leverage[c].k * w);
      const double own = square - image.squaredNorm();
      trace += own;
      diagonal += own * own;
      crossed += image.squaredNorm() * image.squaredNorm();
      zz.noalias() += image * image.transpose();
    }
    if (!(variance > 0)) continue;
    const double squares = diagonal + std::max(0.0, zz.squaredNorm() - crossed);
    Contrast contrast;
    contrast.name = pattern.name;
    contrast.size = sum / l.squaredNorm();
    contrast.t = sum / std::sqrt(variance);
    contrast.df = squares > 0 ? std::max(1.0, trace * trace / squares) : 1.0;
    contrast.p = 2 * (1 - StudentCdf(std::abs(contrast.t), contrast.df));
    result.contrasts.push_back(contrast);
  }
  for (const Contrast& contrast : result.contrasts) {
    const double p_all = std::min(1.0, contrast.p * static_cast<double>(result.contrasts.size()));
    if (result.p && *result.p <= p_all) continue;
    result.p = p_all;
    result.worst = contrast.name;
  }
  return result;
}

}  // namespace allometry::fitting
