#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <cmath>

#include "fitting/interval/interval.h"
#include "fitting/interval/leverage.h"

namespace allometry::fitting {
namespace {

constexpr double kZeroEigenvalue = 1e-9;  // of I - H_c

}  // namespace

Leverage MakeLeverage(const Eigen::MatrixXd& gram, const Eigen::MatrixXd& r_inverse) {
  const int p = static_cast<int>(gram.rows());
  Leverage leverage;
  leverage.k = r_inverse.transpose() * gram * r_inverse;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(leverage.k);
  Eigen::VectorXd power(p), excess(p);
  for (int i = 0; i < p; ++i) {
    const double lambda = std::max(0.0, eigen.eigenvalues()[i]);
    const double rest = 1 - lambda;
    power[i] = rest < kZeroEigenvalue ? 0 : 1 / std::sqrt(rest);
    // (power - 1) / lambda, without cancellation where lambda is small.
    excess[i] =
        rest < kZeroEigenvalue ? -1 / lambda : 1 / (std::sqrt(rest) * (1 + std::sqrt(rest)));
  }
  const Eigen::MatrixXd& v = eigen.eigenvectors();
  leverage.m = v * power.asDiagonal() * v.transpose();
  leverage.adjust = v * excess.asDiagonal() * v.transpose();
  return leverage;
}

Cr2 ComputeCr2(const Problem& problem, const Sample& sample, const Clusters& clusters,
               const Theta& theta, const std::vector<Quantity>& quantities,
               const std::vector<double>* residuals) {
  const int p = problem.law->free;
  Cr2 result;
  result.adjusted.resize(sample.size());
  const Eigen::MatrixXd information = Information(problem, sample, theta).topLeftCorner(p, p);
  const Eigen::LLT<Eigen::MatrixXd> cholesky(information);
  const Eigen::MatrixXd r = cholesky.matrixU();
  const Eigen::MatrixXd r_inverse =
      r.triangularView<Eigen::Upper>().solve(Eigen::MatrixXd::Identity(p, p));
  const size_t count = quantities.size();
  std::vector<Eigen::VectorXd> h(count);  // R^-T g: then J_c B g = Q_c h
  for (size_t k = 0; k < count; ++k) {
    Theta gradient;
    quantities[k].Value(*problem.law, sample, theta, &gradient);
    h[k] = r_inverse.transpose() * gradient.head(p);
  }
  std::vector<double> variance(count, 0), trace(count, 0), diagonal(count, 0), crossed(count, 0);
  std::vector<Eigen::MatrixXd> zz(count, Eigen::MatrixXd::Zero(p, p));
  std::vector<Eigen::VectorXd> rows;
  std::vector<double> rest;
  for (const std::vector<int>& members : clusters.Members()) {
    Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(p, p);
    Eigen::VectorXd score = Eigen::VectorXd::Zero(p);
    rows.clear();
    rest.clear();
    for (int i : members) {
      Theta gradient;
      const double own = Residual(*problem.law, problem.objective, sample, theta, i, &gradient);
      const double root = std::sqrt(sample.weight[i]);
      rows.push_back(root * gradient.head(p));
      rest.push_back(root * (residuals != nullptr ? (*residuals)[i] : own));
      gram.noalias() += rows.back() * rows.back().transpose();
      score += rows.back() * rest.back();
    }
    const Leverage leverage = MakeLeverage(gram, r_inverse);
    const Eigen::VectorXd q_score = r_inverse.transpose() * score;  // Q_c'r_c
    const Eigen::VectorXd shift = r_inverse * (leverage.adjust * q_score);
    for (size_t j = 0; j < members.size(); ++j) {
      result.adjusted[members[j]] =
          (rest[j] + rows[j].dot(shift)) / std::sqrt(sample.weight[members[j]]);
    }
    const Eigen::VectorXd meat = leverage.m * q_score;  // Q_c'A_c r_c
    for (size_t k = 0; k < count; ++k) {
      const double part = h[k].dot(meat);
      variance[k] += part * part;
      const Eigen::VectorXd mh = leverage.m * h[k];
      const Eigen::VectorXd z = leverage.k * mh;
      const double own = mh.dot(z) - z.squaredNorm();  // Q_cc
      trace[k] += own;
      diagonal[k] += own * own;
      crossed[k] += z.squaredNorm() * z.squaredNorm();
      zz[k].noalias() += z * z.transpose();
    }
  }
  for (size_t k = 0; k < count; ++k) {
    // Off the diagonal Q_cd = -z_c'z_d; their squares sum to |Z'Z|^2 less the diagonal.
    const double squares = diagonal[k] + std::max(0.0, zz[k].squaredNorm() - crossed[k]);
    result.error.push_back(std::sqrt(variance[k]));
    result.df.push_back(squares > 0 ? std::max(1.0, trace[k] * trace[k] / squares) : 1.0);
  }
  return result;
}

}  // namespace allometry::fitting
