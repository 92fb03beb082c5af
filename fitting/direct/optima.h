// Laws of tables of optima: what a paper's appendix or a figure gives instead of its runs.
//
// A row is a budget C with the best N, the best D or the loss reached there, whichever are given:
//
//   ln N* = ln k + a ln C            weighted least squares; rows' errors are taken as independent
//   ln D* = ln k' + b ln C           (CR2, t with Bell-McCaffrey degrees of freedom)
//   L* = E + e (C / C_ref)^-c        weighted least squares by Ceres, whose Covariance gives the
//                                    intervals: s^2 (J'J)^-1, t with n - 3 degrees of freedom
//
// Where N* is given without D*, D* = C / (6 N*), and the other way round. Rows read off one figure
// or one frontier share errors; an interval here does not know of it, and the report says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/observation.h"
#include "fitting/data/result.h"

namespace allometry::fitting {

struct OptimaRow {
  double flops = 0;
  std::optional<double> params, tokens, loss;
  double weight = 1;
  int64_t line = 0;
};

struct OptimaTable {
  std::string group;  // the value of --group, or ""
  std::vector<OptimaRow> rows;
  std::vector<Exclusion> exclusions;
  int64_t total = 0;
  ReadSummary read;
};

// The groups of a file (one where none is asked for). INVALID_ARGUMENT as ReadNumericTable, and
// where there is neither N*, D* nor a loss.
absl::StatusOr<std::vector<OptimaTable>> ReadOptima(const std::string& path,
                                                    const CsvOptions& options);

struct OptimaLaw {
  std::string quantity;  // "params", "tokens", "loss"
  int64_t rows = 0;
  std::vector<NamedEstimate> parameters;  // "a", "coefficient"; "E", "c", "excess"
  double reference_flops = 0;             // of the loss's excess
  double rms = 0;                         // of ln N*, ln D*, L*
  std::vector<Estimate> at_budgets;
  std::optional<std::string> refused;
  std::string no_interval;
};

struct OptimaFit {
  OptimaTable table;
  std::vector<double> budgets;
  double lowest_flops = 0, highest_flops = 0;
  std::vector<OptimaLaw> laws;
  std::vector<std::string> contradictions, notes;
};

// Budgets of none: ten times the largest C.
absl::StatusOr<OptimaFit> FitOptima(const OptimaTable& table, std::vector<double> budgets);

std::string OptimaText(const std::vector<OptimaFit>& fits);
std::string OptimaJson(const std::vector<OptimaFit>& fits);

}  // namespace allometry::fitting
