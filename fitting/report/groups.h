// The fits of the groups of one table (allo fit --group), beside each other.
#pragma once

#include <string>
#include <vector>

#include "fitting/report/fit.h"

namespace allometry::fitting {

struct GroupFit {
  std::string group;
  FitReport report;
};

// The report of each, then a table with a line for each quantity and group.
std::string GroupsText(const std::string& column, const std::vector<GroupFit>& fits);
// {"group_column", "groups": [{"group", "fit": the object of one fit}]}
std::string GroupsJson(const std::string& column, const std::vector<GroupFit>& fits);

}  // namespace allometry::fitting
