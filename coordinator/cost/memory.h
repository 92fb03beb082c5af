// What one rank of a run needs in memory. An estimate for people and for refusing what cannot fit.
#pragma once

#include "proto/types.pb.h"

namespace allometry::cost {

// Bytes in single precision, without the libraries' own: 16 for each parameter (weight, gradient,
// two moments), and models/micro_batch.h's activations of the sequences that are taken at once (the
// micro-batch, or the rank's whole share of the batch).
double RankMemoryBytes(const v1::Run& run);

}  // namespace allometry::cost
