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

Cr2Sum::Cr2Sum(Eigen::VectorXd h)
    : h_(std::move(h)), zz_(Eigen::MatrixXd::Zero(h_.size(), h_.size())) {}

void Cr2Sum::Add(const Leverage& leverage, const Eigen::VectorXd& meat) {
  const double part = h_.dot(meat);
  variance_ += part * part;
  const Eigen::VectorXd mh = leverage.m * h_;
  const Eigen::VectorXd z = leverage.k * mh;
  const double own = mh.dot(z) - z.squaredNorm();  // Q_cc
  trace_ += own;
  diagonal_ += own * own;
  crossed_ += z.squaredNorm() * z.squaredNorm();
  zz_.noalias() += z * z.transpose();
}

double Cr2Sum::error() const { return std::sqrt(variance_); }

double Cr2Sum::df() const {
  // Off the diagonal Q_cd = -z_c'z_d; their squares sum to |Z'Z|^2 less the diagonal.
  const double squares = diagonal_ + std::max(0.0, zz_.squaredNorm() - crossed_);
  return squares > 0 ? std::max(1.0, trace_ * trace_ / squares) : 1.0;
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
  std::vector<Cr2Sum> sums;
  for (const Quantity& quantity : quantities) {
    Theta gradient;
    quantity.Value(*problem.law, sample, theta, &gradient);
    sums.emplace_back(r_inverse.transpose() * gradient.head(p));
  }
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
    for (Cr2Sum& sum : sums) sum.Add(leverage, meat);
  }
  for (const Cr2Sum& sum : sums) {
    result.error.push_back(sum.error());
    result.df.push_back(sum.df());
  }
  return result;
}

}  // namespace allometry::fitting
