// allo slurm scale: worker jobs that follow the runs that wait. Jobs are submitted here and end by
// themselves (--idle-exit of the worker).
#include "cli/slurm.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/command_line.h"
#include "cli/commands.h"
#include "cli/scale_rule.h"

namespace allometry::cli {
namespace {

constexpr int kTimeoutS = 20;
constexpr int kPauseS = 600;  // after three failed jobs

struct ScaleArguments {
  ScaleLimits limits;
  int64_t every_ms = 30'000;
  double idle_exit_s = 300;
  std::string job_name = "allo-workers";
  std::string script;
  bool dry_run = false;
  bool once = false;
  std::vector<std::string> sbatch;
};

std::string Quoted(const std::string& word) {
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

// Standard output of a program; its errors go to ours.
absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& words) {
  std::string command;
  for (const std::string& word : words) absl::StrAppend(&command, Quoted(word), " ");
  FILE* output = popen(command.c_str(), "re");
  if (output == nullptr) return absl::InternalError(absl::StrCat("cannot start ", words[0]));
  std::string text;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof(buffer), output)) > 0;) {
    text.append(buffer, got);
  }
  if (const int status = pclose(output); status != 0) {
    return absl::UnavailableError(absl::StrCat(words[0], " failed"));
  }
  return text;
}

absl::StatusOr<int64_t> WaitingRuns(const Context& context) {
  ALLO_ASSIGN_OR_RETURN(const std::unique_ptr<v1::ClientService::Stub> stub, Connect(context));
  v1::ListSweepsResponse response;
  const grpc::Status status = stub->ListSweeps(MakeCall(context, kTimeoutS).get(), {}, &response);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("the coordinator at ", context.coordinator, ": ", status.error_message()));
  }
  int64_t waiting = 0;
  for (const v1::Sweep& sweep : response.sweeps()) {
    waiting += sweep.runs() - sweep.runs_succeeded() - sweep.runs_failed() -
               sweep.runs_cancelled() - sweep.runs_leased();
  }
  return waiting;
}

class Scaling {
 public:
  Scaling(const Context& context, const ScaleArguments& arguments)
      : context_(context), arguments_(arguments) {}

  // One look at queue and coordinator; returns the milliseconds until the next.
  absl::StatusOr<int64_t> Round() {
    ALLO_ASSIGN_OR_RETURN(const std::string queue,
                          OutputOf({"squeue", "--noheader", "--states=all", "--me",
                                    "--name=" + arguments_.job_name, "--format=%i|%T|%D"}));
    ALLO_ASSIGN_OR_RETURN(const auto jobs, ParseQueue(queue));
    ALLO_ASSIGN_OR_RETURN(const int64_t waiting, WaitingRuns(context_));
    const ScaleDecision decision =
        DecideScale(jobs, waiting, failures_forgiven_, arguments_.limits);
    if (decision.pause) {
      failures_forgiven_ = jobs.rbegin()->first;
      Say(absl::StrFormat("%s: nothing is submitted for %d s; look at their output",
                          decision.reason, kPauseS));
      return 1000 * kPauseS;
    }
    if (!decision.submit) {
      Say(decision.reason);
      return arguments_.every_ms;
    }
    std::vector<std::string> command = {"sbatch", "--parsable", "--nodes=1",
                                        "--job-name=" + arguments_.job_name};
    command.insert(command.end(), arguments_.sbatch.begin(), arguments_.sbatch.end());
    command.push_back(arguments_.script);
    if (arguments_.dry_run) {
      std::string words;
      for (const std::string& word : command) absl::StrAppend(&words, " ", Quoted(word));
      Say(absl::StrCat(decision.reason, ": would submit:", words));
      return arguments_.every_ms;
    }
    ALLO_ASSIGN_OR_RETURN(const std::string id, OutputOf(command));
    Say(absl::StrCat(decision.reason, ": submitted job ", absl::StripAsciiWhitespace(id)));
    return arguments_.every_ms;
  }

 private:
  // What is said again and again is said once.
  void Say(const std::string& line) {
    if (line != last_) std::cout << line << std::endl;
    last_ = line;
  }

  const Context& context_;
  const ScaleArguments& arguments_;
  int64_t failures_forgiven_ = 0;
  std::string last_;
};

int Scale(const Context& context, const ScaleArguments& arguments) {
  const std::string options = absl::StrCat(
      std::getenv("ALLO_WORKER_OPTIONS") != nullptr ? std::getenv("ALLO_WORKER_OPTIONS") : "",
      " --idle-exit ", FormatDuration(arguments.idle_exit_s));
  setenv("ALLO_WORKER_OPTIONS", options.c_str(), 1);
  Scaling scaling(context, arguments);
  std::string last_error;
  for (;;) {
    const absl::StatusOr<int64_t> wait_ms = scaling.Round();
    if (arguments.once) return wait_ms.ok() ? kExitOk : Fail(wait_ms.status());
    const std::string error = wait_ms.ok() ? "" : std::string(wait_ms.status().message());
    // A coordinator or a Slurm that is away for a while ends nothing.
    if (!error.empty() && error != last_error) std::cerr << "allo: " << error << std::endl;
    last_error = error;
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms.value_or(arguments.every_ms)));
  }
}

}  // namespace

void AddSlurm(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("slurm", "worker jobs of a Slurm cluster");
  command->require_subcommand(1);
  CLI::App* scale = command->add_subcommand(
      "scale",
      "submit worker jobs of one node while runs wait, until interrupted; they end when idle");
  auto arguments = std::make_shared<ScaleArguments>();
  scale->add_option("--max-nodes", arguments->limits.max_nodes, "at most so many nodes at once")
      ->required()
      ->check(CLI::Range(1, 10'000));
  scale
      ->add_option("--backlog", arguments->limits.backlog,
                   "so many runs must wait for another job to be submitted")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  scale->add_option("--script", arguments->script, "the batch script: deploy/slurm/workers.sbatch")
      ->required()
      ->check(CLI::ExistingFile);
  AddDurationInMs(*scale, "--every", arguments->every_ms, "time between two looks at the queue",
                  {.least = 1, .most = 3600});
  AddDurationInSeconds(*scale, "--idle-exit", arguments->idle_exit_s,
                       "time without a run after which a job ends", {.least = 1});
  scale->add_option("--job-name", arguments->job_name, "by which its jobs are found")
      ->capture_default_str();
  scale->add_flag("--dry-run", arguments->dry_run, "say what would be submitted");
  scale->add_flag("--once", arguments->once, "one look, and end");
  scale->add_option("SBATCH", arguments->sbatch, "after --: more arguments of sbatch");
  scale->callback([&context, arguments] {
    context.run = [&context, arguments] { return Scale(context, *arguments); };
  });
}

}  // namespace allometry::cli
