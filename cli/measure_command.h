// What a command of the sweep file costs on this machine: the real command is started on each size,
// for the seconds that the file says, and killed.
#pragma once

#include "absl/types/span.h"
#include "cli/measure.h"

namespace allometry::cli {

// The time of an update, from the losses that the command logs (log_every 1), and the time before
// the first. A size after the other: nothing is known of what two of them do to each other. Sizes
// of which fewer than two losses came are problems.
MeasuredCosts MeasureCommands(absl::Span<const v1::Run> runs, double seconds,
                              const MeasureOptions& options);

}  // namespace allometry::cli
