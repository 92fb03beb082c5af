// A command line, run as a person's shell runs it.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "base/check.h"

namespace allometry::testing {

struct Outcome {
  int exit_code = -1;  // -1: a signal ended it
  std::string output;  // its standard output, and its errors where the command says 2>&1
};

inline Outcome Shell(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  ALLO_CHECK(pipe != nullptr);
  Outcome outcome;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, got);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

}  // namespace allometry::testing
