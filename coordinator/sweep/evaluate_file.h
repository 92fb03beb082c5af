// The section `evaluate` of a sweep file: the quality of kept checkpoints, measured by runs of
// their own (docs/sweep-file.md, "Evaluations of checkpoints").
#pragma once

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

inline constexpr absl::string_view kEvaluateKeys[] = {"videos", "seed", "frames", "episodes",
                                                      "environment"};

// Reads it into file.evaluate, and gives evaluation.keep its default where the file has none; every
// mistake is added and reading goes on. `sections` is every section of the file.
void ReadEvaluate(const Field& evaluate, absl::Span<const Section> sections, SweepFile& file,
                  Mistakes& mistakes);

// Where the file keeps checkpoints: a command as the trainer, a ladder and stopping are mistakes.
// `line` is that of evaluation.keep or of `evaluate`.
void CheckKept(const SweepFile& file, int line, Mistakes& mistakes);

}  // namespace allometry::sweep
