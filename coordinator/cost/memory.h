// What one rank of a run needs in memory. An estimate for people and for refusing what cannot fit.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proto/types.pb.h"

namespace allometry::cost {

// Bytes, without the libraries' own: 16 for each parameter (weight, gradient and two moments in
// fp32; in bf16 4 more, of a weight and a gradient in bf16), and models/micro_batch.h's activations
// of the sequences that are taken at once (the micro-batch, or the rank's whole share of the
// batch).
double RankMemoryBytes(const v1::Run& run);

// What a plan says of runs that are not in fp32. Empty: all are.
std::vector<std::string> NumericsSentences(absl::Span<const v1::Run> runs);

}  // namespace allometry::cost
