#include "fitting/interval/regression.h"

#include <Eigen/Cholesky>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/data/cluster.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {

Regression Regress(const Eigen::MatrixXd& x, const Eigen::VectorXd& y,
                   const std::vector<double>& weight, const std::vector<int>& cluster) {
  Regression fit;
  const int n = static_cast<int>(x.rows()), p = static_cast<int>(x.cols());
  if (n < p) {
    fit.refused = absl::StrFormat("%d rows for %d coefficients", n, p);
    return fit;
  }
  Eigen::VectorXd root(n);
  for (int i = 0; i < n; ++i) root[i] = std::sqrt(weight[i]);
  const Eigen::MatrixXd rows = root.asDiagonal() * x;
  const Eigen::VectorXd values = root.asDiagonal() * y;
  const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(rows);
  if (qr.rank() < p) {
    fit.refused = "rank-deficient: the columns of the table cannot be told apart";
    return fit;
  }
  fit.coefficients = qr.solve(values);
  const Eigen::VectorXd rest = values - rows * fit.coefficients;
  const Eigen::VectorXd plain = y - x * fit.coefficients;
  fit.residuals.assign(plain.data(), plain.data() + n);
  fit.rms = std::sqrt(plain.squaredNorm() / n);
  const int clusters = *std::max_element(cluster.begin(), cluster.end()) + 1;
  if (clusters < std::max(kFewestClusters, p + 2)) {
    fit.no_interval = absl::StrFormat("%d clusters: at least %d are needed", clusters,
                                      std::max(kFewestClusters, p + 2));
    return fit;
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(rows.transpose() * rows);
  const Eigen::MatrixXd r = cholesky.matrixU();
  fit.r_inverse = r.triangularView<Eigen::Upper>().solve(Eigen::MatrixXd::Identity(p, p));
  for (int c = 0; c < clusters; ++c) {
    Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(p, p);
    Eigen::VectorXd score = Eigen::VectorXd::Zero(p);
    for (int i = 0; i < n; ++i) {
      if (cluster[i] != c) continue;
      gram.noalias() += rows.row(i).transpose() * rows.row(i);
      score += rest[i] * rows.row(i).transpose();
    }
    fit.leverages.push_back(MakeLeverage(gram, fit.r_inverse));
    fit.meats.push_back(fit.leverages.back().m * (fit.r_inverse.transpose() * score));
  }
  return fit;
}

Estimate Exponential(Estimate estimate) {
  for (std::optional<double>* one : {&estimate.estimate, &estimate.lower, &estimate.upper}) {
    if (*one) *one = std::exp(**one);
  }
  return estimate;
}

Estimate Regression::Of(const Eigen::VectorXd& g) const {
  Estimate estimate;
  if (refused) return estimate;
  estimate.estimate = g.dot(coefficients);
  if (leverages.empty()) return estimate;
  Cr2Sum sum(r_inverse.transpose() * g);
  for (size_t c = 0; c < leverages.size(); ++c) sum.Add(leverages[c], meats[c]);
  const double df = sum.df();
  const double half = StudentQuantile(0.975, df) * sum.error();
  estimate.lower = *estimate.estimate - half, estimate.upper = *estimate.estimate + half;
  estimate.df = df;
  return estimate;
}

}  // namespace allometry::fitting
