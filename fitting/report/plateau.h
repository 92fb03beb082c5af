// How much compute it takes until a curve is as low as it gets.
//
// A behaviour-cloning model with an image encoder is said to saturate earlier than one that reads
// tokens (Pearce et al. 2025, section 5.2). Of one curve: its plateau is the mean of the losses of
// its last half octave of compute; it is reached at the first evaluation that is at most `within`
// (2 %) above the plateau. A curve that fell by more than `within` over its last octave has not
// shown its plateau: what it gives is a lower bound, and it is counted as still falling.
//
// Over curves: the geometric mean, with the t interval of the logarithms.
#pragma once

#include <string>
#include <vector>

#include "fitting/data/observation.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {

struct CurvePlateau {
  std::string family, run;
  double params = 0;
  double plateau = 0;  // nats
  double flops = 0;    // where it is reached
  bool still_falling = false;
};

struct Plateau {
  Estimate flops;
  std::vector<CurvePlateau> curves;
  std::string note;  // which are still falling, which were too short; otherwise ""
};

// Of the runs of `families` (empty: all). A curve of fewer than four points, or of less than an
// octave of compute, is left out, and the note says so.
Plateau FindPlateau(const Observations& observations, const std::vector<std::string>& families,
                    double within = 0.02);

}  // namespace allometry::fitting
