// Waiting in tests. Limits are for hangs, not for speed: what takes seconds on a quiet machine may
// take minutes where others compute.
#pragma once

#include <chrono>
#include <thread>

namespace allometry::testing {

// Less than ctest's limit of a test (cmake/Targets.cmake), so that a test that waits in vain says
// for what.
constexpr std::chrono::seconds kPatience(500);

// Asks until `condition()` is true; false after kPatience.
template <class Condition>
bool Eventually(Condition condition,
                std::chrono::milliseconds between = std::chrono::milliseconds(20)) {
  for (const auto begin = std::chrono::steady_clock::now();;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() - begin > kPatience) return false;
    std::this_thread::sleep_for(between);
  }
}

// For the deadline of one RPC.
inline std::chrono::system_clock::time_point RpcDeadline() {
  return std::chrono::system_clock::now() + kPatience;
}

}  // namespace allometry::testing
