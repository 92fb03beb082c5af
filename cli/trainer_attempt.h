// One attempt of a trainer that is a command, as the agent would start it, without an agent.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "worker/agent/trainer_process.h"

namespace allometry::cli {

struct StartedAttempt {
  std::unique_ptr<agent::TrainerProcess> process;
  std::string attempt_dir;
  std::string mark;  // in the environment of each of its processes
};

// Makes the attempt's folder and run.json, and starts the command of attempt spec.attempt on this
// host. Its arguments are put into `spec`.
absl::StatusOr<StartedAttempt> StartAttempt(run::RunSpec& spec, const std::string& run_dir,
                                            const std::string& data_dir);

// What one attempt did.
struct Outcome {
  bool started = false;
  std::string why_not;
  bool ended = false;  // by itself, in time
  int wait_status = 0;
  std::vector<run::Record> records;
  std::string broken;  // the first rule that a record broke, or the damage of the spool
  double first_record_s = -1;
  double stop_s = -1;  // from what was done to it to its end
  std::optional<run::ExitRecord> exit;
  std::optional<run::CheckpointRecord> checkpoint;  // the last
  std::map<int64_t, double> heldout;
  int left = 0;  // processes of it after its end, which were then killed
  std::string log;
};

// What is done to an attempt once it has logged a loss.
enum class Act { kNothing, kPreempt, kCancel, kKill, kCloseInput, kLetLeaseEnd };

// Starts the attempt, does that to it, and reads its spool until it is gone. A stop, or the whole
// run, may take patience_ms; then it is killed.
Outcome PlayAttempt(Act act, run::RunSpec spec, const std::string& run_dir,
                    const std::string& data_dir, int64_t patience_ms);

}  // namespace allometry::cli
