// What a fit reads of a sweep, and why it does not read the rest: the quality gate.
//
// Left out, each with its reason: runs of the learning-rate ladder alone, points that are not
// finite, all of a run that diverged or was cancelled, and points beyond the sweep's max_epochs
// unless repeats are allowed (a token seen a fifth time is not a fresh one: Muennighoff et al.
// 2023). Warm-up is left out by the store, as is all but the end of a run whose rate falls, and all
// of a trunk.
//
// A note names the sizes that were stopped early, another the runs that were trained under more
// than one numerics (another micro-batch, other ranks, another device or build): read all the same,
// they hold to a tolerance and not to the bit.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "fitting/data/observation.h"
#include "models/shape.h"
#include "proto/types.pb.h"

namespace allometry::coordinator {

struct ObservationChoice {
  std::string params_policy;     // empty: the sweep's
  std::string flops_convention;  // empty: the sweep's; "6nd" (C = 6 N D) or "exact"
  std::string series;            // empty: "heldout"
  bool allow_repeat = false;
};

// The stored rows under one choice. `points` are in the order of `rows`.
struct GatheredObservations {
  v1::Sweep sweep;
  models::ParamPolicy params_policy = models::ParamPolicy::kPaper;
  bool exact_flops = false;
  std::vector<store::ObservationRow> rows;  // those that a fit reads
  std::vector<int64_t> curves;              // run ids: of which curve each row is a point
  fitting::Observations points;             // with every exclusion
};

// NotFound: no such sweep. InvalidArgument: no such policy, convention or series.
absl::StatusOr<GatheredObservations> GatherObservations(const store::Store& store,
                                                        absl::string_view sweep,
                                                        const ObservationChoice& choice);

// As CSV that `allo fit FILE` reads to the same observations. `line` of each point is its line
// here.
std::string ObservationsCsvHeader(const GatheredObservations& gathered);
std::string ObservationsCsvRow(const GatheredObservations& gathered, size_t i);

}  // namespace allometry::coordinator
