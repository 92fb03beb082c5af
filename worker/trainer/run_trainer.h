// One rank of an attempt, from the command line to the exit code.
#pragma once

#include <optional>
#include <string>

namespace allometry::trainer {

// As much as PyTorch's DistributedDataParallel takes.
inline constexpr double kGpuBucketMib = 25;

struct TrainerOptions {
  std::string run_dir;
  std::string data_dir;
  std::string collective = "auto";    // or a name of comm's table
  double collective_timeout_s = 600;  // how long to wait for other ranks
  // MiB of a bucket of the gradient's sum over ranks (gradient_buckets.h); 0: one sum of all.
  // Not set: kGpuBucketMib on GPUs, 0 on CPUs, whose sums do not run beside anything.
  std::optional<double> bucket_mib;
  bool leased = false;         // standard input carries the lease (lease_watch.h)
  double measure_seconds = 0;  // above 0: measure instead (measure.h)
};

// Trains what RUN_DIR/run.json says and returns the exit code (run/exit_reason.h). Rank 0 ends
// the spool with an exit record wherever it still can. Where run.json cannot be used at all, or its
// attempt ran before, nothing is written: a sentence goes to standard error.
int RunTrainer(const TrainerOptions& options);

// Measures instead: rank 0 prints one line of JSON on standard output. 0, or the exit code of why
// it could not.
int MeasureTrainer(const TrainerOptions& options);

}  // namespace allometry::trainer
