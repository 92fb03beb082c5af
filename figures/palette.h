// Colours that readers of every colour vision tell apart.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "figures/drawing.h"
#include "fitting/data/options.h"

namespace allometry::figures {

// Okabe and Ito (2008).
inline Colour MethodColour(fitting::Method method) {
  switch (method) {
    case fitting::Method::kParametric:
      return {213, 94, 0};  // vermillion
    case fitting::Method::kFrontier:
      return {0, 114, 178};  // blue
    case fitting::Method::kIsoflop:
      return {0, 158, 115};  // bluish green
    default:
      return {190, 90, 150};  // reddish purple
  }
}

template <size_t n>
Colour Along(const std::array<Colour, n>& scale, double share) {
  const double at = std::clamp(share, 0.0, 1.0) * (n - 1);
  const size_t k = std::min(static_cast<size_t>(at), n - 2);
  const double t = at - static_cast<double>(k);
  const auto mix = [t](int a, int b) { return static_cast<int>(std::lround(a + t * (b - a))); };
  return {mix(scale[k].red, scale[k + 1].red), mix(scale[k].green, scale[k + 1].green),
          mix(scale[k].blue, scale[k + 1].blue)};
}

// Viridis and plasma (van der Walt and Smith 2015) without their lightest ends, which white
// swallows.
inline Colour Viridis(double share) {
  constexpr std::array<Colour, 8> kScale = {{{68, 1, 84},
                                             {71, 44, 122},
                                             {59, 81, 139},
                                             {44, 113, 142},
                                             {33, 144, 141},
                                             {39, 173, 129},
                                             {92, 200, 99},
                                             {160, 200, 40}}};
  return Along(kScale, share);
}
inline Colour Plasma(double share) {
  constexpr std::array<Colour, 6> kScale = {
      {{13, 8, 135}, {84, 2, 163}, {139, 10, 165}, {185, 50, 137}, {219, 92, 104}, {238, 130, 60}}};
  return Along(kScale, share);
}

}  // namespace allometry::figures
