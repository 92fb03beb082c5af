// Observations from a table of runs, as people have them.
//
// A header line, then one row a point: CSV, TSV, semicolons, spaces, a Markdown or LaTeX table
// (dialect.h); UTF-8, UTF-16 or Windows-1252 (text_lines.h); numbers with suffixes, thousands
// separators and decimal commas (number.h). Headers are matched as header.h says, with their units
// (unit.h): the loss may be in nats, bits or a perplexity, N in millions, C in PF-days.
//
//   N       params, parameters, n_params, num_params, ..., N;       last model_size
//   D       tokens, training_tokens, total_tokens, ..., D;          last dataset_size
//   loss    val_loss, eval_loss, heldout_loss, test_loss; then loss; last train_loss
//   C       flops, training_flops, ..., C; last compute, budget     (optional)
//   run, family, weight, epochs, ends_cell, state                   (optional)
//
// Single letters count only where their values behave like the quantity: n may be the number of
// heads, c the context. Where D is missing and C is there, D = C / (6 N), row by row; where N is
// missing, N = C / (6 D). Columns such as N_total, params_non_embedding beside N are kept as other
// counts of the same models. Observations::read and notes() say what was taken for what.
//
// Never silently wrong: each table is right, asked about (INVALID_ARGUMENT that names the option
// which answers: CsvOptions), or refused, INVALID_ARGUMENT with file, line, value and what was
// allowed (plausible.h). A row that cannot be used (a value missing, not a number, not finite, zero
// or negative, the wrong number of fields, a run that failed, a repetition of another row) is
// excluded with its line and reason.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "fitting/data/csv_options.h"
#include "fitting/data/observation.h"

namespace allometry::fitting {

// NOT_FOUND where the file is missing. Reads in pieces: memory is that of the observations.
absl::StatusOr<Observations> ReadCsv(const std::string& path, const CsvOptions& options = {});
// `name` stands for the file in messages.
absl::StatusOr<Observations> ParseCsv(absl::string_view text, absl::string_view name,
                                      const CsvOptions& options = {});

// The rows of each value of the column options.group, in the order of their first rows; one, with
// an empty read.group, where options.group is empty.
absl::StatusOr<std::vector<Observations>> ReadCsvGroups(const std::string& path,
                                                        const CsvOptions& options);
absl::StatusOr<std::vector<Observations>> ParseCsvGroups(absl::string_view text,
                                                         absl::string_view name,
                                                         const CsvOptions& options);

}  // namespace allometry::fitting
