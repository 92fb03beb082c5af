// A line on standard error every few seconds while something long goes on, so that silence never
// looks like a hang: "allo fit: reading runs.csv, 210 MB, 3400000 rows, 6 s".
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace allometry::cli {

class Ticker {
 public:
  // The first line comes after `quiet`: what is quick says nothing.
  Ticker(std::string command, std::string doing,
         std::chrono::milliseconds quiet = std::chrono::seconds(3));
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // What is done now; the time counts from the start. Any thread.
  void Doing(std::string what);

 private:
  void Run(std::chrono::milliseconds quiet);

  const std::string command_;  // "allo fit"
  Mutex mutex_;
  ConditionVariable changed_;
  std::string doing_ ALLO_GUARDED_BY(mutex_);
  bool done_ ALLO_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

}  // namespace allometry::cli
