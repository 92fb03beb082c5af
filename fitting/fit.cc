#include "fitting/fit.h"

namespace allometry::fitting {

absl::StatusOr<FitReport> Fit(const Observations& observations, const FitOptions& options) {
  ALLO_RETURN_IF_ERROR(Validate(options));
  if (observations.used() == 0) return absl::InvalidArgumentError("no observations to fit");
  return absl::UnimplementedError("the fitting methods are not in this build yet");
}

}  // namespace allometry::fitting
