#include "fitting/interval/noise.h"

#include <Eigen/Cholesky>
#include <cmath>
#include <limits>
#include <vector>

namespace allometry::fitting {
namespace {

constexpr int kMostOfACluster = 60;
// A curve spans four or five of ln D: what fades more slowly than this is not told from a shift and
// a tilt.
constexpr double kLongest = 1;
constexpr double kMostExplained = 0.98;  // of the variance: some of it is always a point's own

// One size's residuals, derivatives and ln D.
struct Block {
  Eigen::VectorXd residual, log_tokens;
  Eigen::MatrixXd derivative;
};

std::vector<Block> MakeBlocks(const Law& law, const Sample& sample, const Clusters& clusters,
                              const Theta& theta) {
  const Objective of_log{ObjectiveKind::kLsqLog, 0};
  std::vector<Block> blocks;
  for (const std::vector<int>& members : clusters.Members()) {
    const int size = static_cast<int>(members.size());
    const int kept = std::min(size, kMostOfACluster);
    Block& block = blocks.emplace_back();
    block.residual.resize(kept);
    block.log_tokens.resize(kept);
    block.derivative.resize(kept, law.free);
    for (int k = 0; k < kept; ++k) {
      const int i = members[static_cast<size_t>(k) * size / kept];
      Theta gradient;
      block.residual[k] = Residual(law, of_log, sample, theta, i, &gradient);
      block.log_tokens[k] = sample.y[i];
      block.derivative.row(k) = gradient.head(law.free);
    }
  }
  return blocks;
}

struct Likelihood {
  double log_value = -std::numeric_limits<double>::infinity();
  double variance = 0;
};

Likelihood Evaluate(const std::vector<Block>& blocks, const NoiseModel& noise, int free) {
  Eigen::MatrixXd information = Eigen::MatrixXd::Zero(free, free);
  Eigen::VectorXd score = Eigen::VectorXd::Zero(free);
  double squares = 0, log_determinant = 0;
  int points = 0;
  for (const Block& block : blocks) {
    const Eigen::LLT<Eigen::MatrixXd> cholesky(UnitCovariances(noise, block.log_tokens));
    if (cholesky.info() != Eigen::Success) return {};
    const auto lower = cholesky.matrixL();
    const Eigen::MatrixXd derivative = lower.solve(block.derivative);
    const Eigen::VectorXd residual = lower.solve(block.residual);
    information.noalias() += derivative.transpose() * derivative;
    score += derivative.transpose() * residual;
    squares += residual.squaredNorm();
    log_determinant += 2 * Eigen::MatrixXd(lower).diagonal().array().log().sum();
    points += static_cast<int>(residual.size());
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(information);
  if (cholesky.info() != Eigen::Success || points <= free) return {};
  const double rest = squares - score.dot(cholesky.solve(score));
  Likelihood likelihood;
  likelihood.variance = std::max(rest, 0.0) / (points - free);
  if (!(likelihood.variance > 0)) return {};
  const double information_determinant =
      2 * Eigen::MatrixXd(cholesky.matrixL()).diagonal().array().log().sum();
  likelihood.log_value = -0.5 * ((points - free) * std::log(likelihood.variance) + log_determinant +
                                 information_determinant);
  return likelihood;
}

}  // namespace

Eigen::MatrixXd UnitCovariances(const NoiseModel& noise, const Eigen::VectorXd& log_tokens) {
  const int size = static_cast<int>(log_tokens.size());
  const Eigen::VectorXd from_middle = log_tokens.array() - log_tokens.mean();
  Eigen::MatrixXd covariance = noise.tilt * from_middle * from_middle.transpose();
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < i; ++j) {
      const double distance = std::abs(log_tokens[i] - log_tokens[j]);
      covariance(i, j) += noise.shared + noise.serial * std::exp(-distance / noise.length);
      covariance(j, i) = covariance(i, j);
    }
    covariance(i, i) += 1;
  }
  return covariance;
}

NoiseModel EstimateNoise(const Law& law, const Sample& sample, const Clusters& clusters,
                         const Theta& theta) {
  const std::vector<Block> blocks = MakeBlocks(law, sample, clusters, theta);
  NoiseModel best;
  Likelihood best_likelihood;
  const auto consider = [&](double shared, double serial, double length, double tilt) {
    if (shared + serial > kMostExplained) return;
    NoiseModel noise{0, shared, serial, length, tilt};
    const Likelihood likelihood = Evaluate(blocks, noise, law.free);
    if (!(likelihood.log_value > best_likelihood.log_value)) return;
    noise.sd = std::sqrt(likelihood.variance);
    best = noise;
    best_likelihood = likelihood;
  };
  for (const double tilt : {0.0, 0.1, 0.3, 1.0, 3.0}) {
    for (double shared = 0; shared < 0.96; shared += 0.1) {
      consider(shared, 0, 1, tilt);
      for (double serial = 0.1; serial < 0.99; serial += 0.1) {
        for (const double length : {0.1, 0.3, kLongest}) consider(shared, serial, length, tilt);
      }
    }
  }
  // Finer about the best of the grid.
  const NoiseModel coarse = best;
  const std::vector<double> tilts =
      coarse.tilt > 0 ? std::vector<double>{0.5, 0.7, 1.0, 1.4} : std::vector<double>{1.0};
  for (int i = -4; i <= 4; ++i) {
    const double shared = coarse.shared + 0.02 * i;
    if (shared < 0) continue;
    for (int j = -4; j <= 4; ++j) {
      const double serial = coarse.serial + 0.02 * j;
      if (serial < 0) continue;
      for (const double length : {0.6, 1.0}) {
        for (const double tilt : tilts) {
          consider(shared, serial, coarse.length * length, coarse.tilt * tilt);
        }
      }
    }
  }
  // The model takes errors to be as large everywhere. Where a law misfits one end of the curves,
  // its likelihood prefers the rest; no promise should be made from less than is plainly there.
  double squares = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double r = Residual(law, {ObjectiveKind::kLsqLog, 0}, sample, theta, i, nullptr);
    squares += r * r;
  }
  const double rest = static_cast<double>(sample.size()) - law.free;
  double variances = 0, points = 0;
  for (const Block& block : blocks) {
    variances += UnitCovariances(best, block.log_tokens).trace();
    points += static_cast<double>(block.log_tokens.size());
  }
  if (best.sd > 0) best.sd = std::max(best.sd, std::sqrt(squares / rest * points / variances));
  return best;
}

}  // namespace allometry::fitting
