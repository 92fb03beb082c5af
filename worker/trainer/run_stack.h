// Several runs as one process, from the command line to the exit code (stack.h).
#pragma once

#include <string>
#include <vector>

#include "worker/trainer/run_trainer.h"

namespace allometry::trainer {

// Trains the runs of `run_dirs` in a stack of `width`, or of as many as they are where that is 0.
// Every run has its attempt's folder, spool and exit record as if it were trained by itself. After
// SIGTERM each writes a checkpoint and ends as PREEMPTED, as a leased run does. 0 where all
// succeeded, otherwise the exit code of the first that did not. Where runs cannot be stacked, or an
// attempt ran before, nothing is written: a sentence goes to standard error. Of the options,
// `data_dir` alone counts.
int RunStack(const TrainerOptions& options, const std::vector<std::string>& run_dirs, int width);

}  // namespace allometry::trainer
