// Checks that this host's trainers work. Each is started with --self-test, in the environment of an
// attempt, before the agent offers a slot, and again after an attempt ended badly. A check that
// fails is repeated at growing intervals, so that a repaired host goes on without a person.
//
// A host whose trainer cannot start fails runs in milliseconds, is therefore always free, and would
// be given every run of a sweep. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/agent/launch.h"
#include "worker/agent/trainer_process.h"

namespace allometry::agent {

struct TrainerCheckOptions {
  std::vector<std::pair<run::DeviceKind, std::string>> trainers;
  std::string run_root;  // where they try to write
  std::string log_path;  // what the last one printed
  std::string agent_id;
  int64_t patience_ms = 120'000;  // for one: LibTorch loads slowly from a cold network disk
  int64_t first_retry_ms = 2'000, longest_retry_ms = 60'000;
};

class TrainerCheck {
 public:
  explicit TrainerCheck(TrainerCheckOptions options);

  // Starts a new check. Until all trainers have passed, `problem` is not empty and contains `why`.
  void Ask(const std::string& why);
  // Starts and reaps; call often. `now_ns` on the boot clock.
  void Poll(int64_t now_ns);
  // Why no run should be started here, in a sentence; empty: the last check passed.
  const std::string& problem() const { return problem_; }

 private:
  void Start(int64_t now_ns);
  void End(int64_t now_ns);
  void Failed(const std::string& why, int64_t now_ns);

  const TrainerCheckOptions options_;
  std::string problem_;
  bool asked_ = true;
  size_t next_ = 0;  // of options_.trainers
  std::unique_ptr<TrainerProcess> process_;
  int64_t kill_at_ns_ = 0;
  bool timed_out_ = false;
  int64_t start_at_ns_ = 0;  // not before
  int64_t retry_ms_ = 0;
};

}  // namespace allometry::agent
