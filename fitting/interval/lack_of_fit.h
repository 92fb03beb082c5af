// Is what the law leaves over a pattern, or noise?
//
// A contrast z is a pattern over the points: +1 in the top decade of C, the square of ln D, ... Its
// part that no choice of the law's parameters can explain is l = z - J (J'J)^-1 J'z, so that l'r
// has mean 0 under the law, whatever the parameters. l'r is a sum over clusters, l_c'A_c r_c with
// the adjustment A_c of CR2 (fitting/interval/interval.h). Errors are shared within clusters in any
// way, but clusters are independent: under the law each cluster's term may as well have had the
// other sign. So
//
//   t = |sum_c l_c'A_c r_c| / sqrt(sum_c (l_c'A_c r_c)^2)
//
// is compared with its values under all sign changes of whole clusters (kMostFlips random ones
// where there are more): a randomisation test, which needs no variance and no degrees of freedom.
// One p-value for all contrasts: how often the largest t of a sign change reaches the largest t
// observed (Westfall and Young 1993), so that contrasts that say the same cost nothing.
//
// Residuals are cut at three robust standard deviations: stray runs are listed, and a robust fit
// does not follow them.
//
// Contrasts: the top decade of C against the rest, the first factor of two in D of each size (what
// a warm-up leaves), the squares and the product of ln N and ln D (the first terms of any smooth
// misfit, Ramsey's RESET).
//
// The law is rejected where p is at most kLackOfFit and the pattern with the largest t explains at
// least kPatternShare of the residuals' sum of squares, and at least kPatternSize of the loss. All
// are needed: p alone rejects any law at some number of points (Chinchilla's 240 runs: p = .0002, a
// pattern of 14 %), says little with few clusters, for G of them have a smallest p of 2^(1 - G),
// and where runs hardly differ a pattern of a thousandth of the loss stands out. Measured on 100
// sound sweeps a row (6 to 16 sizes; independent, shared and AR(1) errors): p <= .05 in .03 to .11,
// the pattern's share .02 to .08 in the median. Warm-ups of all of 9 or 12 sizes leave patterns of
// .30 to .44. What some sizes do alone has a test of its own (fitting/method/settled.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

inline constexpr double kLackOfFit = 0.05, kPatternShare = 1.0 / 3, kPatternSize = 0.005;

struct Contrast {
  std::string name;  // "the top decade of C"
  double size = 0;   // of ln L - ln Lhat: l'r / l'l
  double share = 0;  // of the residuals' sum of squares that the pattern explains
  double t = 0;
};
struct LackOfFit {
  std::optional<double> p;  // none: too few clusters, or nothing left to test
  std::vector<Contrast> contrasts;
  std::string worst;  // name of the contrast with the largest t
  double share = 0;   // of that contrast
  double rms = 0;     // of that pattern over the points, in ln L

  // The law does not hold over these points.
  bool Rejected() const {
    return p && *p <= kLackOfFit && share >= kPatternShare && rms >= kPatternSize;
  }
};

// About `theta`, with residuals of ln L.
LackOfFit TestLackOfFit(const Law& law, const Sample& sample, const Clusters& clusters,
                        const Theta& theta);

}  // namespace allometry::fitting
