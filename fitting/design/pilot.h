// The law and the errors that a plan assumes: from a pilot's observations, from the report of an
// earlier fit, or from a sweep of our own.
#pragma once

#include <string>

#include "base/status.h"
#include "fitting/data/observation.h"
#include "fitting/design/expected_width.h"
#include "fitting/interval/noise.h"

namespace allometry::fitting {

struct Pilot {
  AssumedLaw law;
  NoiseModel noise;
  std::string source;  // "the pilot runs.csv: 352 evaluations of 7 sizes"
};

// The standard law by the default objective, the errors about its least squares twin.
// FailedPrecondition with the fit's own reason where it is refused.
absl::StatusOr<Pilot> PilotFromObservations(const Observations& observations,
                                            const std::string& name);

// The parametric fit of `allo fit --json`. A report has the size of the errors and how much of them
// sizes share; how they fade and lean along a curve it does not say, so the default's is taken.
absl::StatusOr<Pilot> PilotFromReport(const std::string& json, const std::string& name);

// Of sweeps/quickstart.yaml as we trained it: a character-level GPT of 5k to 320k parameters.
Pilot DefaultPilot();

}  // namespace allometry::fitting
