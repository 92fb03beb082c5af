// The minimum of an Akima spline (Akima 1970), as Porian et al. (2024) use it on ln L over ln N.
#pragma once

#include <optional>
#include <vector>

#include "fitting/method/frontier.h"

namespace allometry::fitting {

// x ascending, at least five. Nothing where the least value is at an end.
std::optional<Vertex> AkimaMinimum(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace allometry::fitting
