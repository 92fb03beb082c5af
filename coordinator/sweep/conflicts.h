// Settings that a file must share with the stored sweep of its name.
#pragma once

#include <string>
#include <vector>

#include "coordinator/sweep/difference.h"

namespace allometry::sweep {

// A sentence for each contradiction: what the sweep has, what the file has, and the advice to
// choose another name. Pure.
std::vector<std::string> Conflicts(const StoredSweep& stored, const Expansion& expansion);

}  // namespace allometry::sweep
