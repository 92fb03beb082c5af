// Command lines of the programs, parsed by CLI11, with what it does not say: which word is no
// command or option, what is near, and what is allowed as a value. A number must be finite and fit
// into 64 bits, and what is required must not be empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "base/duration.h"

namespace allometry {

// What an option that takes a time allows, in seconds.
struct DurationRange {
  double least = 0;
  double most = kSecondsPerYear;
};

// Declares an option that takes a time with its unit ("30s", base/duration.h). The help shows the
// value that is there as the default.
CLI::Option* AddDurationInSeconds(CLI::App& app, const std::string& name, double& seconds,
                                  const std::string& help, DurationRange range = {});
CLI::Option* AddDurationInMs(CLI::App& app, const std::string& name, int64_t& ms,
                             const std::string& help, DurationRange range = {});

// Parses the arguments. Set: the program is to exit with this code, because it was asked for help
// (0), or because of a mistake that is said on standard error (2).
std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv);

// For arguments that `app` could not parse: "unknown command sumbit: did you mean submit?", or the
// same of an option, of `app` or of the subcommand that the words before name. Empty where every
// word is known, so that the mistake is another one.
std::string UnknownWord(const CLI::App& app, int argc, const char* const* argv);

}  // namespace allometry
