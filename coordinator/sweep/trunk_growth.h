// What more branches ask of a trunk that is stored already, perhaps trained. Pure.
//
// A trunk never goes back. A branching point beyond what it has still to train is one more
// checkpoint on its way. At one that it is past without a checkpoint, the branch starts from the
// newest checkpoint before it, or from step 0, and trains the constant part in between itself: its
// recipe is whole, so its numbers are the same, and only its cost is another.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proto/types.pb.h"

namespace allometry::sweep {

// The branching points of the trunk after a submission that wants `wanted`: those it has, and of
// the others those that its next attempt will pass. An attempt under way keeps the list it was
// given, so while the trunk is LEASED only steps beyond its last one are new to it.
std::vector<int64_t> GrownCheckpointSteps(const v1::Run& trunk, const v1::RunSpec& wanted);

// The step from which a branch that falls from `decay_begin` on can start: the largest up to there
// of `asked` (GrownCheckpointSteps) that the trunk has still to reach, and of `there`, its
// checkpoints that exist. 0: there is none.
int64_t BranchStart(const v1::Run& trunk, absl::Span<const int64_t> asked,
                    absl::Span<const int64_t> there, int64_t decay_begin);

// "falling from step 195 to step 244", and where it starts if that is not where it falls.
std::string BranchText(const v1::RunSpec& branch);

}  // namespace allometry::sweep
