#include "environments/environment.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "environments/process.h"
#include "environments/strata.h"

namespace allometry::environments {
namespace {

constexpr EnvironmentRow kEnvironments[] = {
    {"strata:", "the built-in world", &CreateStrata, &CheckStrataName},
    {"process:", "a program that speaks the protocol", &CreateProcess, &CheckProcessName},
};

absl::StatusOr<const EnvironmentRow*> RowOf(const std::string& name) {
  for (const EnvironmentRow& row : kEnvironments) {
    if (absl::StartsWith(name, row.prefix)) return &row;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "environment '", name, "' is not known: allowed are names that begin with ",
      absl::StrJoin(kEnvironments, " or ", [](std::string* out, const EnvironmentRow& row) {
        absl::StrAppend(out, row.prefix);
      })));
}

}  // namespace

std::span<const EnvironmentRow> Environments() { return kEnvironments; }

absl::StatusOr<std::unique_ptr<Environment>> Create(const std::string& name, int copies) {
  ALLO_ASSIGN_OR_RETURN(const EnvironmentRow* row, RowOf(name));
  if (copies < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment ", name, ": ", copies, " copies: allowed is 1 or more"));
  }
  return row->create(name, copies);
}

absl::Status CheckName(const std::string& name) {
  ALLO_ASSIGN_OR_RETURN(const EnvironmentRow* row, RowOf(name));
  return row->check(name);
}

}  // namespace allometry::environments
