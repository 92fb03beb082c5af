#include "cli/trainer_attempt.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "cli/child.h"
#include "run/lease_line.h"
#include "run/trainer_rules.h"
#include "worker/agent/command_launch.h"
#include "worker/agent/exit_verdict.h"
#include "worker/launch/processes.h"

namespace allometry::cli {
namespace {

using agent::TrainerProcess;

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int kLogLines = 10;

void Read(run::SpoolReader& reader, run::TrainerRules& rules, Outcome& outcome) {
  for (;;) {
    const auto records = reader.Read(1000);
    if (!records.ok()) {
      if (outcome.broken.empty()) outcome.broken = std::string(records.status().message());
      return;
    }
    if (records->empty()) return;
    for (const run::Record& record : *records) {
      const auto broken = rules.Check(record);
      if (broken.has_value() && outcome.broken.empty()) outcome.broken = broken->message;
      if (const auto* exit = std::get_if<run::ExitRecord>(&record.body)) outcome.exit = *exit;
      if (const auto* saved = std::get_if<run::CheckpointRecord>(&record.body)) {
        outcome.checkpoint = *saved;
      }
      if (const auto* point = std::get_if<run::Point>(&record.body);
          point != nullptr && point->series == "heldout" && point->value.has_value()) {
        outcome.heldout[point->step] = *point->value;
      }
      outcome.records.push_back(record);
    }
  }
}

bool HasLogged(const Outcome& outcome, bool wants_checkpoint) {
  if (wants_checkpoint && outcome.checkpoint.has_value()) return true;
  for (const run::Record& record : outcome.records) {
    if (!wants_checkpoint && std::holds_alternative<run::Point>(record.body)) return true;
  }
  return false;
}

// A supervisor ends what does not end by itself, and gives its exit code.
bool WasKilledBySupervisor(int wait_status) {
  return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 128 + SIGKILL;
}

void Watch(Act act, const run::RunSpec& spec, const std::string& attempt_dir,
           const std::string& mark, TrainerProcess& process, int64_t patience_ms,
           Outcome& outcome) {
  run::SpoolReader reader(attempt_dir);
  run::TrainerRules rules(spec);
  const Clock& clock = Clock::Real();
  const int64_t began = clock.BootNanos();
  const bool lease_ends = act == Act::kLetLeaseEnd;
  const int64_t lease_ms = lease_ends ? std::min<int64_t>(patience_ms, 4000) : patience_ms * 2;
  process.WriteLine(run::WriteLeaseLine(began, began + lease_ms * kMs, began));
  int64_t acted = lease_ends ? began + lease_ms * kMs : 0;
  bool killed = false;
  for (;;) {
    const int64_t now = clock.BootNanos();
    Read(reader, rules, outcome);
    if (outcome.first_record_s < 0 && !outcome.records.empty()) {
      outcome.first_record_s = static_cast<double>(now - began) / 1e9;
    }
    const bool waits_for_checkpoint =
        act == Act::kKill && run::CanDo(spec.identity.trainer, "resume");
    if (acted == 0 && act != Act::kNothing && HasLogged(outcome, waits_for_checkpoint)) {
      acted = now;
      if (act == Act::kPreempt) process.WriteLine("preempt");
      if (act == Act::kCancel) process.WriteLine("cancel");
      if (act == Act::kCloseInput) process.CloseInput();
      if (act == Act::kKill) {
        process.Kill();
        killed = true;
      }
    }
    if (process.Exited()) {
      const std::string left = ReadFile(attempt_dir + "/left-behind").value_or("");
      outcome.left = static_cast<int>(std::count(left.begin(), left.end(), '\n'));
      outcome.ended = !killed && !WasKilledBySupervisor(process.wait_status());
      outcome.stop_s = acted == 0 ? -1 : std::max(0.0, static_cast<double>(now - acted) / 1e9);
      break;
    }
    const int64_t since = acted != 0 && act != Act::kKill ? acted : began;
    if (now > since + patience_ms * kMs && !killed) {
      killed = true;
      process.Kill();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  while (!process.Gone()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  Read(reader, rules, outcome);
  if (act == Act::kKill) {
    outcome.left = static_cast<int>(launch::ProcessesWithEnvironment(mark).size());
  }
}

}  // namespace

absl::StatusOr<StartedAttempt> StartAttempt(run::RunSpec& spec, const std::string& run_dir,
                                            const std::string& data_dir) {
  StartedAttempt started;
  started.attempt_dir = run::AttemptDir(run_dir, spec.attempt);
  started.mark = agent::AttemptMark(started.attempt_dir);
  ALLO_RETURN_IF_ERROR(MakeDirectories(started.attempt_dir));
  ALLO_ASSIGN_OR_RETURN(spec, agent::WithArgs(spec, run_dir, data_dir));
  ALLO_RETURN_IF_ERROR(run::WriteRunSpec(run_dir, spec));
  agent::LaunchRequest request;
  request.run_dir = run_dir;
  request.data_dir = data_dir;
  launch::HostRanks& here = request.hosts.emplace_back();
  for (int i = 0; i < spec.ranks; ++i) {
    here.devices.push_back(absl::StrCat(run::NameOf(spec.device), ":", i));
  }
  request.launcher = *launch::FindLauncher("mpirun", /*in_slurm=*/false);
  request.settings.is_root = geteuid() == 0;
  request.supervisor = FolderOfThisProgram() + "/allo-supervisor";
  request.attempt_name = request.agent_id = started.attempt_dir;
  ALLO_ASSIGN_OR_RETURN(const launch::Command command,
                        agent::MakeTrainerCommand(spec, request, {true, {}}));
  ALLO_ASSIGN_OR_RETURN(started.process,
                        TrainerProcess::Start(command, started.attempt_dir + "/log", started.mark));
  return started;
}

Outcome PlayAttempt(Act act, run::RunSpec spec, const std::string& run_dir,
                    const std::string& data_dir, int64_t patience_ms) {
  Outcome outcome;
  if (act == Act::kKill && run::CanDo(spec.identity.trainer, "resume")) {
    spec.checkpoint_every_s = 0.2;  // something to go on from
  }
  auto started = StartAttempt(spec, run_dir, data_dir);
  if (!started.ok()) {
    outcome.why_not = std::string(started.status().message());
    return outcome;
  }
  outcome.started = true;
  Watch(act, spec, started->attempt_dir, started->mark, *started->process, patience_ms, outcome);
  outcome.wait_status = started->process->wait_status();
  started->process.reset();
  outcome.log = agent::LogTail(started->attempt_dir + "/log", kLogLines);
  return outcome;
}

}  // namespace allometry::cli
