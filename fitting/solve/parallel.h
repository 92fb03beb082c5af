// Independent work on several threads, with results that do not know how many there were.
#pragma once

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace allometry::fitting {

// Calls work(i) once for every i in 0 .. count - 1, from up to `threads` threads, and returns when
// all are done. work must write only to places that belong to i.
template <class Work>
void ParallelFor(int count, int threads, const Work& work) {
  std::atomic<int> next{0};
  const auto loop = [&] {
    for (int i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < std::min(threads, count); ++t) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
}

}  // namespace allometry::fitting
