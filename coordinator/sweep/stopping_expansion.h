// The part of a sweep's grid that is trained so far under frontier-aware stopping
// (coordinator/stages/stopping/stopping.h decides).
#pragma once

#include <map>
#include <string>

#include "coordinator/sweep/expansion.h"

namespace allometry::sweep {

// Of a constant sweep with budgets in FLOPs: of each size the cells up to `most_flops` (asked; none
// of a size that is not in it), its runs trained to the last of them; a tokenizer whole. A run that
// is raised later gets the evaluations that it would have had at once.
Expansion UpTo(const Expansion& whole, const std::map<std::string, double>& most_flops);

}  // namespace allometry::sweep
