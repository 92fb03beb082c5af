// What one core can do at most with an instruction set: multiply-adds on independent registers.
#pragma once

#include "absl/strings/string_view.h"

namespace allometry::bench {

// Floating-point operations a second of CPU time, single precision: the best of several short
// loops. `instruction_set` is a name of models/instruction_set.h that this CPU has. An FMA counts
// as two; "baseline" has none and multiplies, then adds.
double FmaPeak(absl::string_view instruction_set);

}  // namespace allometry::bench
