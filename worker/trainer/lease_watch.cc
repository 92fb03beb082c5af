#include "worker/trainer/lease_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/check.h"

namespace allometry::trainer {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
// poll() does not count the time that the machine was suspended; the deadline does.
constexpr int64_t kLongestSleepMs = 200;
// Two machines' clocks may drift apart by this much of the time between two leases.
constexpr int64_t kDriftDivisor = 5'000;

std::atomic<bool> sigterm_came{false};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

LeaseWatch::LeaseWatch(int fd, const Clock& clock, std::string boot_id,
                       std::function<void(const std::string& why)> on_lost)
    : fd_(fd), clock_(clock), boot_id_(std::move(boot_id)), on_lost_(std::move(on_lost)) {
  ALLO_CHECK(pipe2(wake_, O_CLOEXEC) == 0);
  asked_ = clock_.BootNanos();
  deadline_ = asked_ + kFirstLeaseS * kNanosPerSecond;
  thread_ = std::thread([this] { Watch(); });
}

LeaseWatch::~LeaseWatch() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
}

bool LeaseWatch::CheckpointDue() const {
  const int64_t asked = asked_.load();
  return clock_.BootNanos() - asked >= (deadline_.load() - asked) / 3 * 2;
}

void LeaseWatch::Watch() {
  for (;;) {
    const int64_t left_ns = deadline_.load() - clock_.BootNanos();
    if (left_ns <= 0) {
      on_lost_("the lease's deadline passed without a renewal");
      return;
    }
    pollfd events[] = {{fd_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    const int64_t sleep_ms = std::min(left_ns / 1'000'000 + 1, kLongestSleepMs);
    if (poll(events, 2, static_cast<int>(sleep_ms)) < 0 && errno != EINTR) {
      on_lost_("standard input cannot be watched");
      return;
    }
    if (events[1].revents != 0) return;
    if (events[0].revents == 0) continue;
    if (const std::string why = ReadLines(); !why.empty()) {
      on_lost_(why);
      return;
    }
  }
}

std::string LeaseWatch::ReadLines() {
  char bytes[4096];
  const ssize_t got = read(fd_, bytes, sizeof bytes);
  if (got < 0) return errno == EINTR || errno == EAGAIN ? "" : "standard input cannot be read";
  if (got == 0) return "standard input closed: the agent is gone";
  partial_line_.append(bytes, static_cast<size_t>(got));
  for (size_t end; (end = partial_line_.find('\n')) != std::string::npos;) {
    HandleLine(absl::string_view(partial_line_).substr(0, end));
    partial_line_.erase(0, end + 1);
  }
  return "";
}

void LeaseWatch::TakeSigterm() {
  std::signal(SIGTERM, [](int) { sigterm_came = true; });
}

bool LeaseWatch::SigtermCame() { return sigterm_came; }

LeaseCommand LeaseWatch::command() const {
  const LeaseCommand command = command_.load();
  return command == LeaseCommand::kNone && SigtermCame() ? LeaseCommand::kPreempt : command;
}

void LeaseWatch::HandleLine(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (const std::optional<run::LeaseLine> lease = run::ParseLeaseLine(line)) {
    TakeLease(*lease);
  } else if (line == "preempt") {
    command_ = LeaseCommand::kPreempt;
  } else if (line == "cancel") {
    command_ = LeaseCommand::kCancel;
  } else {
    std::cerr << "standard input: '" << line
              << "' is not one of: lease BOOT_ID ASKED DEADLINE LEFT_MS, preempt, cancel"
              << std::endl;
  }
}

void LeaseWatch::TakeLease(const run::LeaseLine& lease) {
  int64_t ahead_ns = 0;
  if (lease.boot_id != boot_id_) {
    const int64_t now_ns = clock_.BootNanos();
    const int64_t written_ns = lease.deadline_ns - lease.left_ms * 1'000'000;
    ahead_ns = now_ns - written_ns;
    if (clock_ahead_ns_.has_value()) {
      ahead_ns = std::min(ahead_ns, *clock_ahead_ns_ + (now_ns - heard_ns_) / kDriftDivisor);
    }
    clock_ahead_ns_ = ahead_ns;
    heard_ns_ = now_ns;
  }
  asked_ = lease.asked_ns + ahead_ns;
  deadline_ = lease.deadline_ns + ahead_ns;
  ++leases_;
}

}  // namespace allometry::trainer
