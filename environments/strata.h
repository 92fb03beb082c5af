// Strata (data/strata/world.h) as an environment: what is seen are the view's tokens. Episode i is
// number kMeasuredEpisodes + i, which is in no dataset; it is cut off after the spec's `frames`
// steps. The season turns and movers move as they do for a demonstrator.
#pragma once

#include "environments/environment.h"

namespace allometry::environments {

absl::StatusOr<std::unique_ptr<Environment>> CreateStrata(const std::string& name, int copies);
absl::Status CheckStrataName(const std::string& name);

}  // namespace allometry::environments
