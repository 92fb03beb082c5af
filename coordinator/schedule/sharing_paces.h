// Whether sharing a device pays, from what was measured: tokens a second of a run while k one-rank
// runs were on its device. A plain value.
//
// Together k runs of a size make k times the rate of one of them. The most that pays is the largest
// k before the first one that was measured to make less than k - 1 do. What was not measured is
// taken to pay, so that it is tried once: the first tries teach the rest.
//
// Sizes are kept by octaves of the parameter count, apart for each kind of device.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace allometry::schedule {

class SharingPaces {
 public:
  // Returns whether MostUsefulSharers of this size is another than before.
  bool Measured(const std::string& device, double params, int32_t sharers,
                double tokens_per_second);
  // At most so many on a device; the largest int32_t where no limit is known.
  int32_t MostUsefulSharers(const std::string& device, double params) const;

 private:
  using Size = std::pair<std::string, int>;  // kind of device, octave of parameters
  static Size SizeOf(const std::string& device, double params);

  std::map<Size, std::map<int32_t, double>> rates_;  // of one run, by how many shared: smoothed
};

}  // namespace allometry::schedule
