// `allo plan --json`: docs/plan.md documents every field.
#pragma once

#include <string>
#include <vector>

#include "coordinator/cost/design.h"
#include "coordinator/cost/plan.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {

nlohmann::ordered_json PlanJson(const cost::SweepPlan& plan, const cost::ExpectedPrecision& buy,
                                const std::string& workers, const std::vector<std::string>& changes,
                                const std::vector<std::string>& notes);

}  // namespace allometry::cli
