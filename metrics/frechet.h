// The Fréchet distance of two sets of features, as of two Gaussians (Dowson and Landau 1982; used
// on features of images by Heusel et al. 2017):
//
//   d = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2))
//
// with means m and covariances S. It depends on the features, so a distance says with which; none
// of ours is an FID or FVD, whose features come from one published network each.
//
// Features are seen through the real set alone: those that are constant in it are dropped, the
// others projected on its principal components and divided by its standard deviation along each.
#pragma once

#include <memory>

#include "base/status.h"
#include "metrics/samples.h"

namespace allometry::metrics {

struct FrechetOptions {
  int components = 16;              // of the real set; fewer where the samples are few
  int samples_per_component = 100;  // at least: a covariance of few samples has a large distance
  double ridge = 1e-6;              // added to the diagonal of both covariances
};

class FrechetDistance {
 public:
  // FailedPrecondition with the numbers where the real set has fewer than samples_per_component
  // samples or no feature that varies; InvalidArgument where a value is not finite.
  static absl::StatusOr<FrechetDistance> From(const Samples& real,
                                              const FrechetOptions& options = {});
  ~FrechetDistance();
  FrechetDistance(FrechetDistance&&) noexcept;

  int components() const;
  // Of the real set to another one with the same features. InvalidArgument where it has others,
  // fewer than two samples, or a value that is not finite.
  absl::StatusOr<double> To(const Samples& other) const;

 private:
  struct Projection;
  explicit FrechetDistance(std::unique_ptr<Projection> projection);
  std::unique_ptr<Projection> projection_;
};

}  // namespace allometry::metrics
