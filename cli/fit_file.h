// `allo fit FILE.csv`: a fit of a file, with no coordinator.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/answer_table.h"
#include "cli/figure_files.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/options.h"

namespace allometry::cli {

struct FitFileArguments {
  std::string path;  // the CSV file (fitting/data/csv.h); "-" is standard input
  fitting::FitOptions options;
  fitting::CsvOptions csv;  // what the person says of its columns
  bool json = false;        // the object of docs/fitting.md instead of the report
  // The answers alone, as a table (cli/answer_table.h).
  std::optional<TableFormat> table;
  FigureFiles figure;  // of groups it is refused
};

// Reads, fits, prints to standard output; errors go to standard error as one sentence. Returns the
// exit code: 0 a report was printed (its fits may be refused, with reasons), 1 something failed on
// the way (the figure could not be written), 2 the file or an option cannot be used.
int RunFitFile(const FitFileArguments& arguments);

}  // namespace allometry::cli
