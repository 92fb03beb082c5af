#include "worker/agent/host_probe.h"

#include <sys/wait.h>

#include <algorithm>

#include "base/clock.h"
#include "worker/agent/attempt.h"
#include "worker/agent/launch.h"

namespace allometry::agent {

std::unique_ptr<HostProbe> HostProbe::Start(const AttemptContext& context,
                                            const std::vector<std::string>& hosts) {
  if (context.launcher->probe == nullptr) return nullptr;
  auto probe = std::make_unique<HostProbe>();
  for (const std::string& name : hosts) {
    const auto host = std::find_if(context.hosts.begin(), context.hosts.end(),
                                   [&](const Host& own) { return own.name == name; });
    if (host == context.hosts.end() || host->is_here) continue;
    launch::Command command = context.launcher->probe(host->launcher_name, context.launch_settings);
    const std::string mark = absl::StrCat(context.agent_id, "/probe/", name);
    command.environment = MarkedEnvironment(mark, context.agent_id);
    auto process = TrainerProcess::Start(command, "/dev/null", AttemptMark(mark));
    // What cannot be asked is not lost.
    if (process.ok()) probe->asked_.push_back({name, *std::move(process), false});
  }
  if (probe->asked_.empty()) return nullptr;
  probe->kill_at_ns_ = Clock::Real().BootNanos() + kPatienceMs * 1'000'000;
  return probe;
}

bool HostProbe::Done(int64_t now_ns) {
  bool done = true;
  for (Asked& asked : asked_) {
    if (asked.process == nullptr) continue;
    if (now_ns >= kill_at_ns_ && !std::exchange(asked.killed, true)) asked.process->Kill();
    if (!asked.process->Gone()) {
      done = false;
      continue;
    }
    const int status = asked.process->wait_status();
    asked.process.reset();
    const bool answered = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    (answered ? answered_ : lost_).push_back(asked.host);
  }
  return done;
}

}  // namespace allometry::agent
