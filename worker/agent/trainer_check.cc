#include "worker/agent/trainer_check.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/agent/exit_verdict.h"

namespace allometry::agent {
namespace {

constexpr int64_t kMs = 1'000'000;  // nanoseconds
constexpr int kLogLines = 20;

}  // namespace

TrainerCheck::TrainerCheck(TrainerCheckOptions options)
    : options_(std::move(options)),
      problem_("its trainer is being checked"),
      retry_ms_(options_.first_retry_ms) {}

void TrainerCheck::Ask(const std::string& why) {
  // One that runs began before what is asked about.
  if (process_ != nullptr) process_->Kill();
  asked_ = true;
  next_ = 0;
  if (problem_.empty()) problem_ = why;
}

void TrainerCheck::Poll(int64_t now_ns) {
  if (process_ != nullptr) {
    if (!timed_out_ && now_ns >= kill_at_ns_) {
      timed_out_ = true;
      process_->Kill();
    }
    if (process_->Gone()) End(now_ns);
    return;
  }
  if (asked_ && now_ns >= start_at_ns_) Start(now_ns);
}

void TrainerCheck::Start(int64_t now_ns) {
  if (next_ >= options_.trainers.size()) {
    asked_ = false;
    problem_.clear();
    retry_ms_ = options_.first_retry_ms;
    return;
  }
  const auto& [kind, trainer] = options_.trainers[next_];
  const launch::Command command =
      MakeSelfTestCommand(trainer, kind, options_.run_root, options_.agent_id);
  unlink(options_.log_path.c_str());
  auto process = TrainerProcess::Start(command, options_.log_path,
                                       AttemptMark(absl::StrCat(options_.agent_id, "/self-test")));
  if (!process.ok()) {
    return Failed(absl::StrFormat("its trainer cannot be started: %s", process.status().message()),
                  now_ns);
  }
  process_ = *std::move(process);
  kill_at_ns_ = now_ns + options_.patience_ms * kMs;
  timed_out_ = false;
  asked_ = false;
}

void TrainerCheck::End(int64_t now_ns) {
  const int status = process_->wait_status();
  process_.reset();
  if (asked_) return;  // asked again meanwhile: this one says nothing
  const std::string& trainer = options_.trainers[next_].second;
  if (timed_out_) {
    return Failed(absl::StrFormat("its trainer %s did not end its self-test within %d s", trainer,
                                  options_.patience_ms / 1000),
                  now_ns);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string what =
        JudgeExit(status, EndedBy::kItself, false, LogTail(options_.log_path, kLogLines)).message;
    return Failed(absl::StrFormat("its trainer %s does not pass its self-test: %s", trainer,
                                  what.substr(0, what.find('\n'))),
                  now_ns);
  }
  ++next_;
  asked_ = true;
}

void TrainerCheck::Failed(const std::string& why, int64_t now_ns) {
  problem_ = why;
  asked_ = true;
  next_ = 0;
  start_at_ns_ = now_ns + retry_ms_ * kMs;
  retry_ms_ = std::min(2 * retry_ms_, options_.longest_retry_ms);
}

}  // namespace allometry::agent
