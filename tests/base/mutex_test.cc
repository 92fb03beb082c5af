#include "base/mutex.h"

#include <chrono>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace allometry {
namespace {

struct Counter {
  Mutex mutex;
  ConditionVariable changed;
  int count ALLO_GUARDED_BY(mutex) = 0;
};

TEST(MutexTest, CountsEveryIncrementOfFourThreads) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&counter] {
      for (int i = 0; i < 1000; ++i) {
        MutexLock lock(counter.mutex);
        ++counter.count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.count, 4000);
}

TEST(MutexTest, WaitReleasesTheMutexAndHoldsItAgain) {
  Counter counter;
  std::thread producer([&counter] {
    for (int i = 0; i < 3; ++i) {
      MutexLock lock(counter.mutex);
      ++counter.count;
      counter.changed.NotifyAll();
    }
  });
  {
    MutexLock lock(counter.mutex);
    while (counter.count < 3) counter.changed.Wait(lock);
    EXPECT_EQ(counter.count, 3);
  }
  producer.join();
}

TEST(MutexTest, WaitForReportsThatNobodyNotified) {
  Counter counter;
  MutexLock lock(counter.mutex);
  bool notified = true;
  while (notified) notified = counter.changed.WaitFor(lock, std::chrono::milliseconds(1));
  EXPECT_EQ(counter.count, 0);
}

}  // namespace
}  // namespace allometry
