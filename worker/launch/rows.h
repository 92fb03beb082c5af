// What makes the command of each row of registry.cc; only it includes this file.
#pragma once

#include "worker/launch/launcher.h"

namespace allometry::launch {

absl::StatusOr<Command> MakeNone(const Job& job);
absl::StatusOr<Command> MakeMpirun(const Job& job);
absl::StatusOr<Command> MakeSrun(const Job& job);
// For ranks on GPUs of one host: NCCL's sockets stay on it, unless the user has NCCL_SOCKET_IFNAME.
void KeepNcclOnThisHost(Command& command);
Command ProbeBySsh(const std::string& host, const Settings& settings);
Command ProbeBySrun(const std::string& host, const Settings& settings);

}  // namespace allometry::launch
