// The observations as the methods read them: one order, one count of parameters, one C.
//
// Sums depend on the order of their terms in the last bits. Points are therefore sorted by value
// before anything is computed, and a file with its rows shuffled gives the same bits.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/law/objective.h"
#include "fitting/law/quantity.h"

namespace allometry::fitting {

struct DataView {
  std::string params_policy, flops_convention;  // "as given", "6nd" or "data"
  std::vector<Observation> points;              // flops filled in
  Sample sample;
  Cost cost;  // of flops_convention

  double lowest_flops() const;
  double highest_flops() const;
  // log10 distance of `flops` outside the data's range; 0 inside.
  double DecadesOutside(double flops) const;
};

struct Views {
  std::vector<DataView> all;  // the first is the one that the report is about
  Clusters clusters;          // of the intervals
  Clusters curves;            // of the frontier methods
};

// The report's view first; with `every`, then each other parameter count and FLOP convention that
// the data carries. In every one of them point i is the same observation.
Views MakeViews(const Observations& observations, const FitOptions& options, bool every);

// Hash of the observations in any order, the conventions, the options but for threads, and
// kFitVersion: 16 hexadecimal digits.
std::string FitId(const Views& views, const Observations& observations, const FitOptions& options);

}  // namespace allometry::fitting
