// Observations from a CSV file, as people write them.
//
// A header line, then one row a point. Headers are matched without regard to case, spaces and
// punctuation; the first spelling found in this order wins, and other columns are left alone:
//
//   N       N, params, parameters, n_params, num_params, model_size, model_parameters, ...
//   D       D, tokens, training_tokens, n_tokens, num_tokens, train_tokens, ...
//   loss    loss, L, val_loss, validation_loss, eval_loss, heldout_loss, final_loss, test_loss, ...
//   C       C, flops, flop, training_flop, training_flops, compute, budget, ...   (optional)
//   run     run, run_id, run_name, experiment, ...                                (optional)
//   family  family, size, size_label, model, model_name, ...                      (optional)
//   weight  weight, w                                                             (optional)
//   epochs  epochs, epoch                                                         (optional)
//
// Where D is missing and C is there, D = C / (6 N); where N is missing, N = C / (6 D); the report
// says so. Columns such as N_total, N_nonembed or params_non_embedding beside N are kept as other
// counts of the same models, and the agreement report shows the exponent under each.
//
// Separator: comma, semicolon or tab, whichever the header has. Quoted fields, CRLF, a byte-order
// mark, blank lines and lines that begin with # are understood. Text is UTF-8.
//
// A row that cannot be used (a value missing, not a number, not finite, zero or negative, the
// wrong number of fields, not UTF-8) is excluded with its line and reason, never silently and
// never by guessing. The whole file is refused, INVALID_ARGUMENT with file and line, where there is
// no header with N (or C), D (or C) and loss, or where no row can be used.
#pragma once

#include <string>

#include "base/status.h"
#include "fitting/data/observation.h"

namespace allometry::fitting {

// NOT_FOUND where the file is missing. Reads in pieces: memory is that of the observations.
absl::StatusOr<Observations> ReadCsv(const std::string& path);
// `name` stands for the file in messages.
absl::StatusOr<Observations> ParseCsv(absl::string_view text, absl::string_view name);

}  // namespace allometry::fitting
