#include "base/standard_output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace allometry {

int EndOutput(absl::string_view program, int code) {
  errno = 0;
  std::cout.flush();
  bool written = std::cout.good();
  written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && written;
  if (written) return code;
  std::cerr << program << ": standard output could not be written";
  if (errno != 0) std::cerr << ": " << std::strerror(errno);
  std::cerr << std::endl;
  return code == 0 ? 1 : code;
}

}  // namespace allometry
