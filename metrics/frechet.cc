#include "metrics/frechet.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace allometry::metrics {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// A component whose variance is below this part of the largest is rounding.
constexpr double kLeastVariance = 1e-10;

absl::StatusOr<MatrixXd> ToMatrix(const Samples& samples) {
  if (static_cast<int64_t>(samples.values.size()) != samples.count * samples.features) {
    return absl::InvalidArgumentError(absl::StrFormat("%d values are not %d samples of %d features",
                                                      samples.values.size(), samples.count,
                                                      samples.features));
  }
  MatrixXd rows(samples.count, samples.features);
  for (int64_t i = 0; i < samples.count; ++i) {
    for (int j = 0; j < samples.features; ++j) {
      const double value = samples.values[i * samples.features + j];
      if (!std::isfinite(value)) {
        return absl::InvalidArgumentError(
            absl::StrFormat("feature %d of sample %d is %g", j, i, value));
      }
      rows(i, j) = value;
    }
  }
  return rows;
}

struct Moments {
  VectorXd mean;
  MatrixXd covariance;
};

Moments MomentsOf(const MatrixXd& rows) {
  Moments moments;
  moments.mean = rows.colwise().mean();
  const MatrixXd centred = rows.rowwise() - moments.mean.transpose();
  moments.covariance = centred.transpose() * centred / static_cast<double>(rows.rows() - 1);
  return moments;
}

MatrixXd SquareRoot(const MatrixXd& symmetric) {
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(symmetric);
  const VectorXd roots = solver.eigenvalues().cwiseMax(0).cwiseSqrt();
  return solver.eigenvectors() * roots.asDiagonal() * solver.eigenvectors().transpose();
}

double Distance(const Moments& a, const Moments& b, double ridge) {
  const auto size = a.mean.size();
  const MatrixXd s1 = a.covariance + ridge * MatrixXd::Identity(size, size);
  const MatrixXd s2 = b.covariance + ridge * MatrixXd::Identity(size, size);
  const MatrixXd root = SquareRoot(s1);
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(root * s2 * root, Eigen::EigenvaluesOnly);
  const double cross = solver.eigenvalues().cwiseMax(0).cwiseSqrt().sum();
  return std::max(0.0, (a.mean - b.mean).squaredNorm() + s1.trace() + s2.trace() - 2 * cross);
}

}  // namespace

struct FrechetDistance::Projection {
  int features = 0;
  double ridge = 0;
  VectorXd mean;        // of the features
  MatrixXd directions;  // [features, components], whitening
  Moments real;         // of the projected real set

  MatrixXd Of(const MatrixXd& rows) const {
    return (rows.rowwise() - mean.transpose()) * directions;
  }
};

FrechetDistance::FrechetDistance(std::unique_ptr<Projection> projection)
    : projection_(std::move(projection)) {}
FrechetDistance::FrechetDistance(FrechetDistance&&) noexcept = default;
FrechetDistance::~FrechetDistance() = default;

int FrechetDistance::components() const { return static_cast<int>(projection_->directions.cols()); }

absl::StatusOr<FrechetDistance> FrechetDistance::From(const Samples& real,
                                                      const FrechetOptions& options) {
  ALLO_ASSIGN_OR_RETURN(const MatrixXd rows, ToMatrix(real));
  const int64_t by_count = real.count / options.samples_per_component;
  if (by_count < 1) {
    return absl::FailedPreconditionError(
        absl::StrFormat("a Fréchet distance of %d samples: at least %d are needed", real.count,
                        options.samples_per_component));
  }
  const Moments all = MomentsOf(rows);
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(all.covariance);
  const VectorXd& variances = solver.eigenvalues();  // ascending
  const double largest = variances.size() == 0 ? 0 : variances[variances.size() - 1];
  const int64_t wanted =
      std::min({static_cast<int64_t>(options.components), by_count, int64_t{variances.size()}});
  auto projection = std::make_unique<Projection>();
  projection->features = real.features;
  projection->ridge = options.ridge;
  projection->mean = all.mean;
  projection->directions.resize(real.features, wanted);
  int64_t used = 0;
  for (; used < wanted; ++used) {
    const int64_t at = variances.size() - 1 - used;
    if (!(variances[at] > kLeastVariance * largest) || !(largest > 0)) break;
    projection->directions.col(used) = solver.eigenvectors().col(at) / std::sqrt(variances[at]);
  }
  if (used == 0) {
    return absl::FailedPreconditionError("no feature varies over the real samples");
  }
  projection->directions.conservativeResize(Eigen::NoChange, used);
  projection->real = MomentsOf(projection->Of(rows));
  return FrechetDistance(std::move(projection));
}

absl::StatusOr<double> FrechetDistance::To(const Samples& other) const {
  if (other.features != projection_->features || other.count < 2) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d samples of %d features: allowed are 2 or more of %d", other.count,
                        other.features, projection_->features));
  }
  ALLO_ASSIGN_OR_RETURN(const MatrixXd rows, ToMatrix(other));
  return Distance(projection_->real, MomentsOf(projection_->Of(rows)), projection_->ridge);
}

}  // namespace allometry::metrics
