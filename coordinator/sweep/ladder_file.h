// training.learning_rate.ladder of a sweep file: rates that the sweep finds itself
// (docs/sweep-file.md, "The learning-rate ladder").
#pragma once

#include <string>

#include "absl/types/span.h"
#include "coordinator/sweep/mistakes.h"
#include "coordinator/sweep/sweep_file.h"
#include "coordinator/sweep/yaml_fields.h"

namespace allometry::sweep {

// Whether the value of learning_rate asks for a ladder; otherwise it is a number or a table.
bool IsLadder(const Field& learning_rate);

// `sections` is every section of the file, these among them:
inline constexpr absl::string_view kLadderParentKeys[] = {"ladder"};
inline constexpr absl::string_view kLadderKeys[] = {
    "rates",         "start",      "count", "ratio", "tune", "max_widen", "half_octave_on_ties",
    "tie_tolerance", "accept_edge"};
inline constexpr absl::string_view kTuneKeys[] = {"tokens", "flops", "tokens_per_param", "steps"};

// Reads it into file.ladder; every mistake is added and reading goes on.
void ReadLadder(const Field& learning_rate, absl::Span<const Section> sections, SweepFile& file,
                Mistakes& mistakes);

// The budget of a tuning run, in words: "2M tokens", "400 steps".
std::string TuningBudgetText(const LadderChoice& ladder);

}  // namespace allometry::sweep
