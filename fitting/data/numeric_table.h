// Tables whose rows are no points (N, D, L): optima by budget, losses by learning rate, scores.
//
// The file is read as every other table is (dialects, encodings, units in headers, numbers as
// people write them: fitting/data/csv.h); which columns are wanted says the caller. Nothing is
// guessed beyond the spellings: --column answers where a header has another word, --unit where it
// has another unit.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/observation.h"
#include "fitting/data/unit.h"

namespace allometry::fitting {

struct WantedColumn {
  const char* name;  // as --column takes it: "C", "N", "lr"
  Role role;         // kRoles: a plain positive number; otherwise its headers and units
  std::vector<const char*> spellings;  // in lower case, without punctuation, before the role's own
  bool required = false;
  bool any_sign = false;  // otherwise values that are not above 0 leave the row out
};

struct NumericTable {
  std::vector<bool> has;                  // of each wanted column
  std::vector<std::vector<double>> rows;  // a value for each wanted column; NaN where missing
  std::vector<int64_t> lines;
  std::vector<std::string> groups;  // of each row, where CsvOptions::group names a column
  std::vector<Exclusion> exclusions;
  int64_t total = 0;
  ReadSummary read;
};

// INVALID_ARGUMENT with file, line and what was allowed where a required column is missing, two
// headers could be one, or no row can be used; NOT_FOUND where the file is.
absl::StatusOr<NumericTable> ReadNumericTable(const std::string& path,
                                              const std::vector<WantedColumn>& wanted,
                                              const CsvOptions& options);

}  // namespace allometry::fitting
