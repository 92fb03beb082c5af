// The key of a run: a hash of all that shapes its numbers, and of nothing else.
#pragma once

#include <string>

#include "run/run_spec.h"

namespace allometry::run {

// 16 lower-case hexadecimal digits: HashHex of the settings whose row (fields.h) says that they are
// part of the key, as lines "name value" in the order of the rows. Not in it: the dataset's name
// (its hash says what it is), budgets, ranks, labels. Stored: rows that are part of the key keep
// their place and their key name.
std::string RunKey(const Identity& identity);

}  // namespace allometry::run
