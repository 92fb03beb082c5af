// A trainer that trains nothing: reads run.json, writes a spool, obeys its standard input as
// allo-trainer does. What it does at the end is the spec's step_backend:
//
//   auto       as succeed, with the evaluations: what a real coordinator gives
//   succeed    a point every 10 ms up to `steps`, then an exit record
//   silent     the same, and ends with code 0 and no exit record
//   code-70    the same, and ends with code 70 and no exit record
//   deaf       does not end when told to preempt or cancel
//   damage     writes a line into the middle of its spool that no record is
//
// Asked with --self-test it passes unless there is a file "unfit" in the folder.
//
// Run under mpirun it is rank OMPI_COMM_WORLD_RANK; only rank 0 writes.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/files.h"
#include "run/lease_line.h"
#include "run/run_spec.h"
#include "run/spool.h"

namespace allometry::run {
namespace {

enum class Word { kNone, kPreempt, kCancel };

std::atomic<Word> heard{Word::kNone};
std::atomic<int64_t> deadline_ns{0};

[[noreturn]] void LoseLease() { _exit(ProcessExitCode(ExitReason::kLeaseLost)); }

// End of file or a passed deadline ends the job without another write.
void Listen() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << "heard " << line << std::endl;
    if (const std::optional<LeaseLine> lease = ParseLeaseLine(line)) {
      deadline_ns = lease->deadline_ns;
    } else if (line == "preempt") {
      heard = Word::kPreempt;
    } else if (line == "cancel") {
      heard = Word::kCancel;
    }
  }
  LoseLease();
}

void Nap() { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }

void WriteCheckpoint(const std::string& run_dir, int attempt, int64_t step, SpoolWriter& spool) {
  const std::string file = CheckpointFile(attempt, step);
  ALLO_CHECK(WriteFileAtomically(run_dir + "/" + file, "weights").ok());
  spool.Append(CheckpointRecord{step, file, HashHex("weights"), 7});
}

int End(ExitReason reason, int64_t step, SpoolWriter& spool) {
  spool.Append(ExitRecord{reason, "", step});
  ALLO_CHECK(spool.Sync().ok());
  return ProcessExitCode(reason);
}

int Train(const std::string& run_dir) {
  const absl::StatusOr<RunSpec> spec = ReadRunSpec(run_dir);
  ALLO_CHECK(spec.ok()) << spec.status();
  const std::string attempt_dir = AttemptDir(run_dir, spec->attempt);
  auto spool = SpoolWriter::Create(attempt_dir);
  ALLO_CHECK(spool.ok()) << spool.status();
  std::thread(Listen).detach();

  SpoolWriter& out = **spool;
  out.Append(
      ExecutionConfig{spec->ranks, "here", 1, run::NameOf(spec->device), "none", "fake", "fake"});
  const std::string& script = spec->step_backend;
  int64_t step = spec->start.has_value() ? spec->start->step : 0;
  while (step < spec->steps) {
    ++step;
    out.Append(
        Point{step, step * spec->identity.batch_tokens, "train", 1.0 / static_cast<double>(step)});
    if (script == "auto" && std::find(spec->evaluation_steps.begin(), spec->evaluation_steps.end(),
                                      step) != spec->evaluation_steps.end()) {
      out.Append(Point{step, step * spec->identity.batch_tokens, "heldout",
                       1.0 / static_cast<double>(step)});
    }
    ALLO_CHECK(out.Flush().ok());
    if (deadline_ns != 0 && Clock::Real().BootNanos() >= deadline_ns) LoseLease();
    if (heard != Word::kNone && script != "deaf") {
      WriteCheckpoint(run_dir, spec->attempt, step, out);
      return End(heard == Word::kCancel ? ExitReason::kCancelledByUser : ExitReason::kPreempted,
                 step, out);
    }
    if (script == "damage" && step == 5) {
      std::ofstream(SpoolPath(attempt_dir), std::ios::app) << "no record\n";
    }
    Nap();
  }
  absl::string_view code_text = script;
  int code = 0;
  if (script == "silent") return 0;
  if (absl::ConsumePrefix(&code_text, "code-") && absl::SimpleAtoi(code_text, &code)) {
    std::cout << "the last line of the log" << std::endl;
    return code;
  }
  return End(ExitReason::kSucceeded, step, out);
}

// Ranks other than 0 last until rank 0 has finished, or mpirun ends them.
int Follow(const std::string& attempt_dir) {
  while (!std::filesystem::exists(attempt_dir + "/finished")) Nap();
  return 0;
}

// Passes while there is no file "unfit" in the folder; that is what it says otherwise.
int SelfTest(const std::string& folder) {
  const absl::StatusOr<std::string> unfit = ReadFile(folder + "/unfit");
  if (!unfit.ok()) return 0;
  std::cerr << *unfit << std::endl;
  return 1;
}

int Main(int argc, char** argv) {
  ALLO_CHECK(argc > 1);
  const std::string run_dir = argv[1];
  if (run_dir == "--self-test") return SelfTest(argv[2]);
  const char* rank_text = std::getenv("OMPI_COMM_WORLD_RANK");
  const std::string rank = rank_text == nullptr ? "0" : rank_text;
  std::cout << "rank " << rank << " pid " << getpid() << std::endl;
  for (int i = 1; i < argc; ++i) std::cout << "argument " << argv[i] << std::endl;
  const absl::StatusOr<RunSpec> spec = ReadRunSpec(run_dir);
  ALLO_CHECK(spec.ok()) << spec.status();
  const std::string attempt_dir = AttemptDir(run_dir, spec->attempt);
  if (rank != "0") return Follow(attempt_dir);
  const int code = Train(run_dir);
  std::ofstream(attempt_dir + "/finished") << code;
  std::cout.flush();
  _exit(code);  // the listening thread still waits for a line
}

}  // namespace
}  // namespace allometry::run

int main(int argc, char** argv) { return allometry::run::Main(argc, argv); }
