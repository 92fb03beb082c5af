// Independent work on several threads, with results that do not know how many there were.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace allometry::fitting {

// Thrown where the work was given up half-way; Fit() (fitting/report/fit.h) catches it.
struct FitCancelled {};

inline void ThrowIf(const std::function<bool()>& cancelled) {
  if (cancelled && cancelled()) throw FitCancelled{};
}

// Calls work(i) once for every i in 0 .. count - 1, from up to `threads` threads, and returns when
// all are done. work must write only to places that belong to i. Throws FitCancelled where
// `cancelled`, asked before each, says so; empty: it is not asked.
template <class Work>
void ParallelFor(int count, int threads, const std::function<bool()>& cancelled, const Work& work) {
  std::atomic<int> next{0};
  std::atomic<bool> over{false};
  const auto loop = [&] {
    for (int i = next.fetch_add(1); i < count && !over; i = next.fetch_add(1)) {
      if (cancelled && cancelled()) {
        over = true;
      } else {
        work(i);
      }
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < std::min(threads, count); ++t) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
  if (over) throw FitCancelled{};
}

}  // namespace allometry::fitting
