// The observations that a fit reads of a sweep, and why it does not read the other points.
//
// Which points count is run::ExclusionOf's to say (run/observation.h). The points that are left out
// are counted by reason: tuning runs of the ladder, losses that are not finite, all of a run that
// diverged or was cancelled, and points beyond the sweep's max_epochs unless repeats are allowed.
//
// A note names the sizes that were stopped early. Another names the runs that were trained under
// more than one execution config (another micro-batch, other ranks, another device or build): they
// are read, but their losses hold to a tolerance and not to the bit.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/store/store.h"
#include "fitting/data/observation.h"
#include "models/shape.h"
#include "proto/types.pb.h"
#include "run/flops_convention.h"

namespace allometry::coordinator {

struct ObservationChoice {
  std::string params_policy;     // empty: the sweep's
  std::string flops_convention;  // empty: the sweep's; "6nd" (C = 6 N D) or "exact"
  std::string series;            // empty: "heldout"; or "train", or "heldout_MEMBER" of a union
  bool allow_repeat = false;
};

// The stored rows under one choice. `points` are in the order of `rows`.
struct GatheredObservations {
  v1::Sweep sweep;
  models::ParamPolicy params_policy = models::ParamPolicy::kPaper;
  run::FlopsConvention flops_convention = run::FlopsConvention::k6nd;
  std::vector<store::ObservationRow> rows;  // those that a fit reads
  std::vector<int64_t> curves;              // run ids: of which curve each row is a point; 0: none
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
