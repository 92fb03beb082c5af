#include "tests/agent/worker_process.h"

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "base/files.h"
#include "run/run_spec.h"
#include "worker/agent/launch.h"
#include "worker/agent/record_conversion.h"
#include "worker/launch/processes.h"

namespace allometry::testing {

WorkerProcess::WorkerProcess(std::string coordinator, std::string slots)
    : coordinator_(std::move(coordinator)), slots_(std::move(slots)) {
  state_dir = folder_.Path("state");
  trainer = FAKE_TRAINER;
  ALLO_CHECK(MakeDirectories(folder() + "/data").ok());
}

void WorkerProcess::Start() {
  std::vector<std::string> arguments = {ALLO_BIN_DIR "/allo-worker",
                                        "--coordinator",
                                        coordinator_,
                                        "--state-dir",
                                        state_dir,
                                        "--run-root",
                                        folder() + "/runs",
                                        "--data-dir",
                                        folder() + "/data",
                                        "--slots",
                                        slots_,
                                        "--trainer",
                                        trainer};
  arguments.insert(arguments.end(), extra_arguments.begin(), extra_arguments.end());
  arguments.insert(arguments.begin(), wrapper.begin(), wrapper.end());
  process_.Start(arguments, folder() + "/output");
}

std::string WorkerProcess::RunDir(const agent::Lease& lease) const {
  return absl::StrCat(folder(), "/runs/run-", lease.run_id);
}

std::vector<pid_t> WorkerProcess::ProcessesOf(const agent::Lease& lease) const {
  const absl::StatusOr<std::string> id = ReadFile(folder() + "/runs/root_id");
  if (!id.ok()) return {};
  return launch::ProcessesWithEnvironment(agent::AttemptMark(absl::StrCat(
      absl::StripAsciiWhitespace(*id), "/run-", lease.run_id, "/attempt-", lease.attempt)));
}

std::string WorkerProcess::LogOf(const agent::Lease& lease) const {
  return ReadFile(run::AttemptDir(RunDir(lease), lease.attempt) + "/log").value_or("");
}

std::string WorkerProcess::output() const { return ReadFile(folder() + "/output").value_or(""); }

}  // namespace allometry::testing
