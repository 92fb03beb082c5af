// Runs the real allo-trainer on run directories and reads back what it says.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/run_spec.h"
#include "run/spool.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::trainer {

// A started trainer, or the mpirun over its ranks, with its standard error in a file.
class TrainerProcess {
 public:
  TrainerProcess(std::vector<std::string> arguments, std::string log) : log_(std::move(log)) {
    int input[2];
    ALLO_CHECK(pipe2(input, O_CLOEXEC) == 0);
    pid_ = fork();
    ALLO_CHECK(pid_ >= 0);
    if (pid_ == 0) {
      dup2(input[0], STDIN_FILENO);
      const int log_fd = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      dup2(log_fd, STDOUT_FILENO);
      dup2(log_fd, STDERR_FILENO);
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    close(input[0]);
    input_ = input[1];
  }
  ~TrainerProcess() {
    CloseInput();
    if (!waited_) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }

  void Say(const std::string& text) {
    ALLO_CHECK(write(input_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void CloseInput() {
    if (input_ >= 0) close(input_);
    input_ = -1;
  }
  bool Running() {
    if (!waited_ && waitpid(pid_, &status_, WNOHANG) == pid_) waited_ = true;
    return !waited_;
  }
  // The exit code, or minus the signal.
  int Wait() {
    if (!waited_) ALLO_CHECK(waitpid(pid_, &status_, 0) == pid_);
    waited_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }
  void Kill() { kill(pid_, SIGKILL); }
  void Signal(int signal) { kill(pid_, signal); }
  std::string Log() const { return ReadFile(log_).value_or(""); }

 private:
  const std::string log_;
  pid_t pid_ = -1;
  int input_ = -1;
  int status_ = 0;
  bool waited_ = false;
};

// A curve: what an observer keeps of one or more attempts. Series of time are left out.
using Curve = std::map<std::pair<std::string, int64_t>, std::optional<double>>;

struct SpoolContents {
  std::vector<run::Record> records;

  template <class Body>
  std::vector<Body> All() const {
    std::vector<Body> found;
    for (const run::Record& record : records) {
      if (const auto* body = std::get_if<Body>(&record.body)) found.push_back(*body);
    }
    return found;
  }
  // Its points up to `last_step` are added to, or replace those of, `curve`.
  void MergeInto(Curve* curve, int64_t last_step) const {
    for (const run::Point& point : All<run::Point>()) {
      if (point.step > last_step || point.series == "tokens_per_second" ||
          point.series == "memory_bytes") {
        continue;
      }
      (*curve)[{point.series, point.step}] = point.value;
    }
  }
};

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() : data_dir_(folder_.Path("data")), run_dir_(folder_.Path("run-1")) {
    const auto manifest =
        testing::WriteTokenDataset(data_dir_, "pattern", 16, testing::PatternedTokens(60000, 16),
                                   testing::PatternedTokens(9000, 16));
    ALLO_CHECK(manifest.ok()) << manifest.status();
    spec_.identity.shape = {"gpt", 2, 2, 16, 16, 16};
    spec_.identity.dataset = "pattern";
    spec_.identity.dataset_hash = manifest->hash;
    spec_.identity.batch_tokens = 16 * 16;
    spec_.identity.warmup_steps = 20;
    spec_.identity.learning_rate = 1e-2;
    spec_.identity.seed = 7;
    spec_.steps = 40;
    spec_.evaluation_steps = {1, 10, 25, 40};
    spec_.log_every = 4;
    spec_.evaluation_windows = 50;
    spec_.checkpoint_every_s = 1000;
  }

  // Writes run.json and starts the trainer on it, under mpirun where spec.ranks is more than one.
  std::unique_ptr<TrainerProcess> Start(const run::RunSpec& spec,
                                        std::vector<std::string> flags = {}) {
    const absl::Status written = run::WriteRunSpec(run_dir_, spec);
    ALLO_CHECK(written.ok()) << written;
    std::vector<std::string> arguments;
    if (spec.ranks > 1) {
      arguments = {
          "mpirun",          "-np",   absl::StrCat(spec.ranks),          "--allow-run-as-root",
          "--oversubscribe", "--mca", "btl_vader_single_copy_mechanism", "none"};
    }
    for (const std::string& argument :
         {executable_, run_dir_, std::string("--data-dir"), data_dir_}) {
      arguments.push_back(argument);
    }
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return std::make_unique<TrainerProcess>(arguments, folder_.Path("log"));
  }
  // Runs it to its end and expects the reason, as exit code and as the last record.
  SpoolContents RunToEnd(const run::RunSpec& spec, run::ExitReason reason,
                         std::vector<std::string> flags = {}) {
    const auto process = Start(spec, std::move(flags));
    EXPECT_EQ(process->Wait(), run::ProcessExitCode(reason)) << process->Log();
    SpoolContents spool = ReadSpool(spec.attempt);
    const auto exits = spool.All<run::ExitRecord>();
    ALLO_CHECK(exits.size() == 1) << process->Log();
    EXPECT_EQ(exits[0].reason, reason) << exits[0].message;
    return spool;
  }
  SpoolContents ReadSpool(int attempt) {
    SpoolContents spool;
    run::SpoolReader reader(run::AttemptDir(run_dir_, attempt));
    const auto records = reader.Read(1 << 30);
    EXPECT_THAT(records, testing::IsOk());
    if (records.ok()) spool.records = *records;
    return spool;
  }
  // Waits until `ready(spool)`; false where the process ended before.
  template <class Ready>
  bool WaitUntil(TrainerProcess& process, int attempt, Ready ready) {
    for (;;) {
      const bool running = process.Running();
      if (ready(ReadSpool(attempt))) return running;
      if (!running) return false;
      usleep(2000);
    }
  }
  static run::StartCheckpoint StartFrom(int attempt, const run::CheckpointRecord& record) {
    return {attempt, record.step, record.file, record.hash};
  }

  testing::TemporaryFolder folder_;
  const std::string data_dir_;
  std::string run_dir_;
  std::string executable_ = ALLO_BIN_DIR "/allo-trainer";
  run::RunSpec spec_;
};

// The curves of an undisturbed run and of one whose trainer was killed and started again must be
// the same, bit for bit, and so must their last checkpoints. `kill` ends the running trainer.
class ResumeTest : public TrainerTest {
 protected:
  ResumeTest() {
    SetSteps(4000);
    spec_.log_every = 7;  // intervals that a checkpoint cuts
  }

  void SetSteps(int64_t steps) {
    spec_.steps = steps;
    spec_.evaluation_steps = {1, 10, 100, steps / 2, steps};
  }
  size_t logged_series_ = 3;      // every log_every updates
  size_t evaluation_series_ = 1;  // of an evaluation

  template <class Kill>
  void ExpectResumedCurveIsBitIdentical(Kill kill) {
    Curve whole;
    run_dir_ = folder_.Path("undisturbed");
    const SpoolContents undisturbed = RunToEnd(spec_, run::ExitReason::kSucceeded);
    undisturbed.MergeInto(&whole, spec_.steps);
    ASSERT_EQ(whole.size(),
              logged_series_ * (static_cast<size_t>(spec_.steps) / 7) + 5 * evaluation_series_);

    run::RunSpec spec = spec_;
    spec.checkpoint_every_s = 0.03;
    Curve merged;
    for (int attempt = 1;; ++attempt) {
      run_dir_ = folder_.Path(absl::StrCat("killed-", attempt));
      if (KilledInTheMiddle(spec, kill)) break;
      ASSERT_LT(attempt, 10) << "the trainer was never caught in the middle";
    }
    const SpoolContents first = ReadSpool(1);
    const run::CheckpointRecord start = first.All<run::CheckpointRecord>().back();
    ASSERT_TRUE(first.All<run::ExitRecord>().empty());
    first.MergeInto(&merged, start.step);
    spec.attempt = 2;
    spec.start = StartFrom(1, start);
    const SpoolContents second = RunToEnd(spec, run::ExitReason::kSucceeded);
    second.MergeInto(&merged, spec.steps);

    EXPECT_EQ(merged, whole);
    EXPECT_EQ(second.All<run::CheckpointRecord>().back().hash,
              undisturbed.All<run::CheckpointRecord>().back().hash);
  }

 private:
  // Kills it some points after a checkpoint; false where it had ended by then.
  template <class Kill>
  bool KilledInTheMiddle(const run::RunSpec& spec, Kill kill) {
    const auto process = Start(spec);
    const bool caught = WaitUntil(*process, 1, [](const SpoolContents& spool) {
      const auto checkpoints = spool.All<run::CheckpointRecord>();
      return !checkpoints.empty() && checkpoints.back().step > 100;
    });
    if (caught) kill(*process);
    return caught && process->Wait() != 0 && ReadSpool(1).template All<run::ExitRecord>().empty();
  }
};

}  // namespace allometry::trainer
