// Is what the law leaves over a pattern, or noise?
//
// A contrast z is a pattern over the points: +1 in the top decade of C, the square of ln D, ... Its
// part that no choice of the law's parameters can explain is l = z - J (J'J)^-1 J'z, so that l'r
// has mean 0 under the law, whatever the parameters. Errors are shared within clusters, so its
// variance is estimated from the clusters alone, as CR2 does it (fitting/interval/interval.h):
//
//   t = l'r / sqrt(sum_c (l_c'A_c r_c)^2)
//   df of Bell and McCaffrey with u_c = (I - H)[:, c] A_c l_c
//
// Contrasts: the top decade of C against the rest (the back-test), and the squares and the product
// of ln N and ln D (the first terms of any smooth misfit, Ramsey's RESET). The p-value reported is
// the least of them times their number (Bonferroni), at most 1. It holds its level where points
// share errors within clusters in any way; with few clusters it finds only what many of them share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fitting/data/cluster.h"
#include "fitting/solve/optimum.h"

namespace allometry::fitting {

struct Contrast {
  std::string name;  // "the top decade of C"
  double size = 0;   // of ln L - ln Lhat: l'r / l'l
  double t = 0, df = 0, p = 1;
};
struct LackOfFit {
  std::optional<double> p;  // none: too few clusters, or nothing left to test
  std::vector<Contrast> contrasts;
  std::string worst;  // name of the contrast with the least p
};

// About `theta`, with residuals of ln L.
LackOfFit TestLackOfFit(const Law& law, const Sample& sample, const Clusters& clusters,
                        const Theta& theta);

}  // namespace allometry::fitting
