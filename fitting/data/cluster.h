// Which points share their errors.
//
// Points of one run share its seed, points of one size share its learning rate and its digitised
// N. Resampling them one by one as if they were independent covers .54 to .92 of the time where
// 95 % is claimed. So every interval treats groups of points, never points:
//
//   params   model sizes: ln N sorted and split at gaps above .001, because digitised counts of
//            one size agree to .1 %, not to the last bit. Where every size has a single point and
//            runs have several, runs.
//   run      run labels; points without one by size.
//   none     every point for itself.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/observation.h"
#include "fitting/data/options.h"

namespace allometry::fitting {

struct Clusters {
  std::vector<int> of;  // point -> 0 .. count - 1
  int count = 0;
  std::string by;  // "params", "run", "none": what was used in the end

  std::vector<std::vector<int>> Members() const;
};

Clusters MakeClusters(const std::vector<Observation>& points, Cluster cluster);
// Curves: run labels where the data has them, otherwise sizes. What frontiers interpolate along.
Clusters MakeCurves(const std::vector<Observation>& points);

// Fewer independent groups than this give no interval.
inline constexpr int kFewestClusters = 5;

}  // namespace allometry::fitting
