// What further branches need of a trunk that is stored, and perhaps trained. Pure.
//
// A trunk never trains a step twice. A branching point that the trunk has still to reach is one
// more checkpoint on its way. At a branching point that the trunk has passed without a checkpoint,
// the branch starts from the newest earlier checkpoint, or from step 0, and trains the constant
// part in between itself. A branch's identity holds its whole recipe, so its numbers are the same
// and only its cost is higher.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// The branching points of the trunk after a submission that wants `wanted`: those that it has, and
// those of `wanted` that its next attempt will pass. A running attempt keeps the list that it was
// given, so while the trunk is LEASED only steps beyond its last one can be added.
std::vector<int64_t> GrownCheckpointSteps(const v1::Run& trunk, const v1::RunSpec& wanted);

// The step from which a branch whose rate falls from `decay_begin` on can start: the largest step
// up to `decay_begin` among those of `asked` (GrownCheckpointSteps) that the trunk has still to
// reach and those of `there`, its existing checkpoints. 0: there is none.
int64_t BranchStart(const v1::Run& trunk, absl::Span<const int64_t> asked,
                    absl::Span<const int64_t> there, int64_t decay_begin);

// "falling from step 195 to step 244", and where it starts if that is not where it falls.
std::string BranchText(const v1::RunSpec& branch);

}  // namespace allometry::sweep
