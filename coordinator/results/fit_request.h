// FitOptions of a request as those of a fit: empty and 0 are the defaults of `allo fit`.
#pragma once

#include "base/status.h"
#include "coordinator/results/observations.h"
#include "fitting/data/options.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// InvalidArgument, with the names allowed, for what is not an option. `flops_convention` of the
// request is about the observations, not the fit: see observations.h.
absl::StatusOr<fitting::FitOptions> ToFitOptions(const v1::FitOptions& request);

// What of the request is about the observations.
ObservationChoice ToObservationChoice(const v1::FitOptions& request);

}  // namespace allometry::coordinator
