// `allo data`: make, list, describe and verify datasets. Only the command line includes this.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace allometry::data {

// Declares the subcommand `data` of `app` with its own subcommands text, import-bin, list, describe
// and verify. Where the arguments name one, *run becomes what does it: it prints, and returns the
// exit code: 0 done, 1 failed (a dataset is damaged, missing, or another has the name), 2 bad
// input. *run must live as long as `app`. Datasets lie in --data-dir, by default $ALLO_DATA_DIR or
// ~/.local/share/allometry/data. --json is understood after the subcommand and, where `app` has a
// flag of that name, before it.
void AddDataCommand(CLI::App& app, std::function<int()>* run);

}  // namespace allometry::data
