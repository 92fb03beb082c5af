#include "fitting/method/akima.h"

#include <cmath>

namespace allometry::fitting {

std::optional<Vertex> AkimaMinimum(const std::vector<double>& x, const std::vector<double>& y) {
  const int n = static_cast<int>(x.size());
  if (n < 5) return std::nullopt;
  // Slopes of the n - 1 segments at m[2 .. n], two more extrapolated at each end.
  std::vector<double> m(n + 3);
  for (int i = 0; i + 1 < n; ++i) m[i + 2] = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
  m[1] = 2 * m[2] - m[3];
  m[0] = 2 * m[1] - m[2];
  m[n + 1] = 2 * m[n] - m[n - 1];
  m[n + 2] = 2 * m[n + 1] - m[n];
  const auto slope = [&](int i) {
    const double left = std::abs(m[i + 3] - m[i + 2]), right = std::abs(m[i + 1] - m[i]);
    if (left + right == 0) return 0.5 * (m[i + 1] + m[i + 2]);
    return (left * m[i + 1] + right * m[i + 2]) / (left + right);
  };
  Vertex best{x[0], y[0]};
  bool inside = false;
  for (int i = 0; i + 1 < n; ++i) {
    const double h = x[i + 1] - x[i], s0 = slope(i), s1 = slope(i + 1), mean = m[i + 2];
    // y = y_i + s0 t + c t^2 + d t^3 on [0, h]; its inner extrema solve a quadratic.
    const double c = (3 * mean - 2 * s0 - s1) / h, d = (s0 + s1 - 2 * mean) / (h * h);
    const auto consider = [&](double t) {
      if (!(t >= 0 && t <= h)) return;
      const double value = y[i] + t * (s0 + t * (c + t * d));
      if (value < best.y) {
        best = {x[i] + t, value};
        inside = best.x > x[0] && best.x < x[n - 1];
      }
    };
    consider(h);
    const double discriminant = c * c - 3 * d * s0;
    if (discriminant < 0) continue;
    const double root = std::sqrt(discriminant);
    // Both forms, so that d near 0 loses nothing.
    consider(-s0 / (c + root));
    if (d != 0) consider((-c + root) / (3 * d));
  }
  if (!inside) return std::nullopt;
  return best;
}

}  // namespace allometry::fitting
