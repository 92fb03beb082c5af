// CHECK: for what only a programmer can cause.
//
// A failed check prints the place, the condition and any streamed text on
// standard error and aborts. It is never compiled out. What the world can cause
// (files, users, networks, other processes) returns absl::Status instead.
//
//   ALLO_CHECK(rank < world_size) << "rank " << rank;
#pragma once

#include <cstdlib>
#include <iostream>
#include <sstream>

namespace allometry::internal {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition) {
    stream_ << file << ":" << line << ": check failed: " << condition << " ";
  }
  [[noreturn]] ~CheckFailure() {
    std::cerr << stream_.str() << std::endl;
    std::abort();
  }
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace allometry::internal

#define ALLO_CHECK(condition)                   \
  while (__builtin_expect(!(condition), false)) \
  ::allometry::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()
