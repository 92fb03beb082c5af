// `allo plan --json`: docs/plan.md documents every field.
#pragma once

#include <string>
#include <vector>

#include "coordinator/planner/design.h"
#include "coordinator/planner/plan.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {

nlohmann::ordered_json PlanJson(const planner::SweepPlan& plan, const planner::ExpectedBuy& buy,
                                const std::string& workers, const std::vector<std::string>& changes,
                                const std::vector<std::string>& notes);

}  // namespace allometry::cli
