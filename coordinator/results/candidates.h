// The cells that a sweep could be given next: what `allo next` ranks.
//
// Candidates are
//   - every size of the sweep at 2, 4, ... times its largest budget;
//   - new sizes: between two neighbours that are a factor of 1.5 or more apart (their geometric
//   mean),
//     half the smallest, and two and four times the largest, each at the sweep's largest C times
//     2^-6, 2^-5, ...
// as far as `max_flops` and the file's max_epochs allow, and with no fewer tokens, and no fewer
// tokens per parameter, than some cell of the sweep has. They are built by the rules of the sweep's
// newest file (schedule, batch, evaluations) with its first seed. The learning rate is that of the
// size or, of a new size, lies on the line through those of its neighbours (log rate over log N,
// three digits). A new size's label has two digits and is the count that is asked for, so that a
// file may name it later.
//
// Pure: the same rows and file give the same candidates.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "coordinator/cost/proposals.h"
#include "coordinator/store/rows.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_file.h"
#include "data/manifest.h"
#include "proto/client.pb.h"

namespace allometry::coordinator {

// A size as the sweep trains it.
struct TrainedSize {
  sweep::SizeChoice choice;  // its built shape
  double asked = 0;          // parameters as the file asked for them, or as built
  double params = 0;         // N as built
  double tokens = 0;         // the largest budget of its cells
};

// What candidates are made from.
struct TrainedSweep {
  store::StoredSweep stored;
  sweep::SweepFile file;  // the newest, without its ladder and with the first seed alone
  data::Manifest manifest;
  std::vector<TrainedSize> sizes;  // ascending in params
  double most_flops = 0;           // of a cell of the grid
  // The least of any cell of the grid. The law is not fitted below either, and the cheapest cells
  // would always rank first there.
  int64_t least_tokens = 0;
  double least_tokens_per_param = 0;
};

// FailedPrecondition where the sweep has no cell of a grid yet.
absl::StatusOr<TrainedSweep> ReadTrainedSweep(store::StoredSweep stored,
                                              const store::SweepSource& source);

// A candidate as it would be trained.
struct BuiltCandidate {
  sweep::Expansion expansion;  // its run (and trunk), its one cell
  v1::ProposedCell cell;       // widths not set
  cost::Candidate candidate;   // its curve is the label of its size
};

// The candidates that add training and an observation. Left out: cells that the file's own rules
// leave out, a new size with the shape of another size, and cells that would continue a run that
// has FAILED or was CANCELLED.
std::vector<BuiltCandidate> CandidatesOf(const TrainedSweep& sweep, double max_flops);

// Several candidates, at least one, as one expansion. A run that they share is in it once.
sweep::Expansion CombineCandidates(absl::Span<const BuiltCandidate* const> candidates);

}  // namespace allometry::coordinator
