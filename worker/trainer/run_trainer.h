// One rank of an attempt, from the command line to the exit code.
#pragma once

#include <string>

namespace allometry::trainer {

struct TrainerOptions {
  std::string run_dir;
  std::string data_dir;
  std::string collective = "auto";  // or a name of comm's table
  bool leased = false;              // standard input carries the lease (lease_watch.h)
};

// Trains what RUN_DIR/run.json says and returns the exit code (rundir/exit_reason.h). Rank 0 ends
// the spool with an exit record wherever it still can. Where run.json cannot be used at all, or its
// attempt ran before, nothing is written: a sentence goes to standard error.
int RunTrainer(const TrainerOptions& options);

}  // namespace allometry::trainer
