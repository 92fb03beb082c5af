// The command line and environment that start an attempt's trainer, by one of the launchers of
// worker/launch.
//
//   TRAINER RUN_DIR --data-dir D --leased --collective self | mpi | nccl
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "worker/launch/launcher.h"

namespace allometry::agent {

// The program that trains on each kind of device.
struct Trainers {
  std::string cpu;
  std::string cuda;

  const std::string& Of(run::DeviceKind kind) const {
    return kind == run::DeviceKind::kCuda ? cuda : cpu;
  }
};

struct LaunchRequest {
  std::string trainer;     // the program
  std::string supervisor;  // allo-supervisor, of commands
  std::string run_dir;
  std::string data_dir;
  // One device a rank, all of one kind: {{"n1", true, {"cuda:0", "cuda:1"}}}.
  std::vector<launch::HostRanks> hosts;
  const launch::Launcher* launcher = nullptr;
  launch::Settings settings;
  std::string attempt_name;  // RunRoot::AttemptName
  std::string agent_id;
};

// `hosts` with what stands after "cuda:" in its devices. InvalidArgument: none, or of two kinds.
absl::StatusOr<std::vector<launch::HostRanks>> DeviceIndices(std::vector<launch::HostRanks> hosts);

// InvalidArgument: `hosts` is empty or mixes kinds, or the launcher cannot start it.
absl::StatusOr<launch::Command> MakeLaunchCommand(const LaunchRequest& request);

// The variables that mark a process for AttemptMark and AgentMark.
std::vector<std::pair<std::string, std::string>> MarkedEnvironment(const std::string& attempt_name,
                                                                   const std::string& agent_id);

// The same trainer, asked whether it works here: `folder` is where it tries to write.
launch::Command MakeSelfTestCommand(const std::string& trainer, run::DeviceKind device_kind,
                                    const std::string& folder, const std::string& agent_id);

// "ALLOMETRY_ATTEMPT=NAME": what marks every process of one attempt, and
// "ALLOMETRY_AGENT=ID": of every attempt of one agent.
std::string AttemptMark(absl::string_view attempt_name);
std::string AgentMark(absl::string_view agent_id);

}  // namespace allometry::agent
