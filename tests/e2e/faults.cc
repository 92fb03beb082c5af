#include "tests/e2e/faults.h"

#include <csignal>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "worker/launch/processes.h"

namespace allometry::testing {
namespace {

constexpr int64_t kShortMs = 50;

// Only while it is still the trainer that was found: pids are used again.
void SignalMarked(const std::string& mark, pid_t pid, int signal) {
  for (const pid_t living : launch::ProcessesWithEnvironment(mark)) {
    if (living == pid) kill(pid, signal);
  }
}

std::string ProgramOf(pid_t pid) {
  const auto name = ReadFile(absl::StrCat("/proc/", pid, "/comm"));
  return name.ok() ? std::string(absl::StripAsciiWhitespace(*name)) : "";
}

}  // namespace

int64_t Faults::Duration() {
  const bool outlives_a_lease = Between(0, 2) == 0;
  return outlives_a_lease ? Between(lease_ms_, lease_ms_ + lease_ms_ / 2)
                          : Between(kShortMs, lease_ms_ / 3);
}

std::vector<Faults::Target> Faults::Targets() {
  std::vector<Target> targets;
  if (!coordinator_hit_) {
    targets.push_back({"coordinator", "coordinator",
                       [this](int signal) { deployment_.SignalCoordinator(signal); },
                       [this] { deployment_.KillCoordinator(); },
                       [this] { deployment_.StartCoordinator(); },
                       [this](bool hit) { coordinator_hit_ = hit; }});
  }
  for (int worker = 0; worker < deployment_.workers(); ++worker) {
    AddTrainers(worker, targets);
    if (workers_hit_.count(worker) > 0) continue;
    targets.push_back({"agent", absl::StrCat("agent ", worker),
                       [this, worker](int signal) { deployment_.SignalWorker(worker, signal); },
                       [this, worker] { deployment_.KillWorker(worker); },
                       [this, worker] { deployment_.StartWorker(worker); },
                       [this, worker](bool hit) {
                         if (hit) {
                           workers_hit_.insert(worker);
                         } else {
                           workers_hit_.erase(worker);
                         }
                       }});
  }
  return targets;
}

void Faults::AddTrainers(int worker, std::vector<Target>& targets) {
  const std::string mark = deployment_.MarkOf(worker);
  if (mark.empty()) return;
  for (const pid_t pid : launch::ProcessesWithEnvironment(mark)) {
    if (stopped_.count(pid) > 0) continue;
    const std::string program = ProgramOf(pid);
    const bool is_rank = program == "allo-trainer";
    if (!is_rank && program != "mpirun" && program != "orterun") continue;
    targets.push_back(
        {is_rank ? "rank" : "mpirun",
         absl::StrCat(is_rank ? "rank" : "mpirun", " of agent ", worker, ", process ", pid),
         [mark, pid](int signal) { SignalMarked(mark, pid, signal); },
         [mark, pid] { SignalMarked(mark, pid, SIGKILL); }, nullptr,
         [this, pid](bool hit) {
           if (hit) {
             stopped_.insert(pid);
           } else {
             stopped_.erase(pid);
           }
         }});
  }
}

std::string Faults::Inject(std::string& detail) {
  // The kind first: many ranks must not crowd out the coordinator.
  std::vector<Target> targets = Targets();
  if (targets.empty()) return "";
  std::set<std::string> kinds;
  for (const Target& target : targets) kinds.insert(target.kind);
  const std::string kind =
      *std::next(kinds.begin(), Between(0, static_cast<int64_t>(kinds.size()) - 1));
  std::erase_if(targets, [&](const Target& target) { return target.kind != kind; });
  const Target target =
      targets[static_cast<size_t>(Between(0, static_cast<int64_t>(targets.size()) - 1))];
  const bool stop = Between(0, 1) == 0;
  const int64_t duration_ms = Duration();
  const Clock::time_point until = Clock::now() + std::chrono::milliseconds(duration_ms);
  if (stop) {
    target.signal(SIGSTOP);
    target.mark(true);
    open_.push_back({until, [target] {
                       target.signal(SIGCONT);
                       target.mark(false);
                     }});
    detail = absl::StrFormat("stop %s for %d ms", target.name, duration_ms);
  } else {
    target.kill();
    detail = absl::StrFormat("kill %s", target.name);
    if (target.restart != nullptr) {
      target.mark(true);
      open_.push_back({until, [target] {
                         target.restart();
                         target.mark(false);
                       }});
      absl::StrAppendFormat(&detail, ", started again after %d ms", duration_ms);
    }
  }
  return absl::StrCat(stop ? "stop " : "kill ", kind);
}

void Faults::EndDue() {
  const Clock::time_point now = Clock::now();
  for (size_t i = 0; i < open_.size();) {
    if (open_[i].until > now) {
      ++i;
      continue;
    }
    open_[i].end();
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Faults::EndAll() {
  for (const Open& open : open_) open.end();
  open_.clear();
}

}  // namespace allometry::testing
