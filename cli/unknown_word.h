// Finds the word of a command line that is no command or option, and the nearest known one; CLI11
// does not report it.
#pragma once

#include <string>

#include "CLI/App.hpp"

namespace allometry::cli {

// For arguments that `app` could not parse: "unknown command sumbit: did you mean submit?", or the
// same of an option, of `app` or of the subcommand that the words before name. Empty where every
// word is known, so that the mistake is another one.
std::string UnknownWord(const CLI::App& app, int argc, const char* const* argv);

}  // namespace allometry::cli
