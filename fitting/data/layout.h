// Where a table's quantities stand: its separator, its decimal mark, its header, and which column
// is N, D, C and the loss, in which unit. Decided from the first megabyte, before any row is read.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/dialect.h"
#include "fitting/data/header.h"
#include "fitting/data/number.h"
#include "fitting/data/unit.h"

namespace allometry::fitting {

struct CsvColumn {
  int field = -1;  // -1: the table has none
  std::string header;
  Unit unit;
  bool unit_asked = false;  // by --unit
  bool held_out = false;    // of the loss
  bool train = false;

  explicit operator bool() const { return field >= 0; }
};

struct TableLayout {
  Separator separator = Separator::kComma;
  Decimal decimal = Decimal::kPoint;
  bool header_is_comment = false;
  int64_t header_line = 0;
  int64_t units_line = 0;  // a second header line of units
  std::vector<std::string> header;
  std::array<CsvColumn, kRoleCount> at;
  struct Count {
    std::string policy;
    CsvColumn column;
  };
  std::vector<Count> counts;               // other counts of N
  std::string params_policy = "as given";  // of the column that is N
  std::vector<std::string> notes;          // what the reader of the report should know
  bool own_export = false;                 // written by allo export: its units are known

  const CsvColumn& operator[](Role role) const { return at[static_cast<int>(role)]; }
  CsvColumn& operator[](Role role) { return at[static_cast<int>(role)]; }
};

// The first rows of a table, by which its columns are chosen.
struct CsvSample {
  std::string name;  // of the file, for messages
  std::vector<int64_t> lines;
  std::vector<std::vector<std::string>> rows;  // as many fields each as the header has

  // The column's values in its unit; NaN where a field is missing or no number.
  std::vector<double> Values(const TableLayout& layout, Role role, const CsvColumn& column) const;
};

// `ahead` is the beginning of the decoded text, `whole` whether it is all of it. INVALID_ARGUMENT
// with file and line where there is no header with N (or C), D (or C) and loss, and where a choice
// is the person's: the message then names the option that answers.
struct CsvTable {
  TableLayout layout;
  CsvSample sample;
};
absl::StatusOr<CsvTable> FindLayout(absl::string_view ahead, bool whole, const std::string& name,
                                    const CsvOptions& options);

// A field as the fit reads it. Missing values are quiet NaN without a reason; what is no number has
// the reason, which begins with the column's name.
double ReadField(absl::string_view text, Decimal decimal, Role role, const CsvColumn& column,
                 std::string& reason);

}  // namespace allometry::fitting
