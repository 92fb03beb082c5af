// Which runs of a sweep a command is for, and in which order `allo runs` lists them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "proto/types.pb.h"

namespace allometry::cli {

// As typed; "" or empty is all.
struct RunFilterWords {
  std::vector<int64_t> run_ids = {};
  std::vector<std::string> states = {};  // waiting, running, done, failed, cancelled
  std::vector<std::string> sizes = {};   // labels of the sweep file: 40k
  std::vector<std::string> seeds = {};
  std::vector<std::string> rates = {};  // learning rates
  std::string sort = {};                // a name of RunOrders(), "-" before it: descending
  int limit = 0;                        // not negative; 0: all

  // Nothing but order and number is asked for.
  bool ChoosesAll() const {
    return run_ids.empty() && states.empty() && sizes.empty() && seeds.empty() && rates.empty();
  }
};

// INVALID_ARGUMENT, with what is allowed, for a word that is none of these, and NOT_FOUND where the
// sweep has no such run, size, seed or rate.
absl::StatusOr<std::vector<v1::Run>> FilterRuns(std::vector<v1::Run> runs,
                                                const RunFilterWords& words);

// "run", "size", "state", "loss", ...
std::vector<std::string> RunOrders();

}  // namespace allometry::cli
