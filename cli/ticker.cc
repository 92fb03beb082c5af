#include "cli/ticker.h"

#include <cstdio>
#include <utility>

namespace allometry::cli {
namespace {

constexpr std::chrono::seconds kEvery{5};

}  // namespace

Ticker::Ticker(std::string command, std::string doing, std::chrono::milliseconds quiet)
    : command_(std::move(command)),
      doing_(std::move(doing)),
      thread_([this, quiet] { Run(quiet); }) {}

Ticker::~Ticker() {
  {
    MutexLock lock(mutex_);
    done_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Ticker::Doing(std::string what) {
  MutexLock lock(mutex_);
  doing_ = std::move(what);
}

void Ticker::Run(std::chrono::milliseconds quiet) {
  const auto start = std::chrono::steady_clock::now();
  auto next = start + quiet;
  MutexLock lock(mutex_);
  while (!done_) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next) {
      changed_.WaitFor(lock, next - now);
      continue;
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - start).count();
    std::fprintf(stderr, "%s: %s, %lld s\n", command_.c_str(), doing_.c_str(),
                 static_cast<long long>(seconds));
    next = now + kEvery;
  }
}

}  // namespace allometry::cli
