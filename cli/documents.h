// What is made of the commands' own help: completion for shells and man pages. They follow from the
// declarations of the options, so they cannot lag behind them.
#pragma once

#include <string>
#include <vector>

#include "CLI/App.hpp"

namespace allometry::cli {

// A script for bash; zsh reads it through bashcompinit, which `zsh` puts in front.
std::string CompletionScript(const CLI::App& app, bool zsh);

// Name and text (troff) of "allo.1", "allo-fit.1", ...
struct ManPage {
  std::string file, text;
};
std::vector<ManPage> ManPages(const CLI::App& app);

}  // namespace allometry::cli
