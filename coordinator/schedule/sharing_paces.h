// How many runs should share a device, from measured tokens a second of a run while k one-rank runs
// were on its device. A plain value.
//
// k runs of one size together make k times the rate of one of them. The most useful number is the
// largest k before the first k that was measured to make less than k - 1 runs do. A number that was
// not measured counts as useful, so that it is tried once.
//
// Rates are kept by device kind and by power of two of the parameter count.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "run/choices.h"

namespace allometry::schedule {

class SharingPaces {
 public:
  // Returns whether MostUsefulSharers of this size changed.
  bool Measured(std::optional<run::DeviceKind> device, double params, int32_t sharers,
                double tokens_per_second);
  // At most so many on a device; the largest int32_t where no limit is known.
  int32_t MostUsefulSharers(std::optional<run::DeviceKind> device, double params) const;

 private:
  using Size = std::pair<std::optional<run::DeviceKind>, int>;  // and octave of parameters
  static Size SizeOf(std::optional<run::DeviceKind> device, double params);

  std::map<Size, std::map<int32_t, double>> rates_;  // of one run, by how many shared: smoothed
};

}  // namespace allometry::schedule
