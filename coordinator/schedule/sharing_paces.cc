#include "coordinator/schedule/sharing_paces.h"

#include <cmath>
#include <limits>

namespace allometry::schedule {
namespace {

constexpr double kNewest = 0.25;  // weight of the newest measurement: one odd one decides little

}  // namespace

SharingPaces::Size SharingPaces::SizeOf(std::optional<run::DeviceKind> device, double params) {
  return {device, params > 1 ? std::ilogb(params) : 0};
}

bool SharingPaces::Measured(std::optional<run::DeviceKind> device, double params, int32_t sharers,
                            double tokens_per_second) {
  if (!(tokens_per_second > 0) || !std::isfinite(tokens_per_second) || sharers < 1) return false;
  const int32_t before = MostUsefulSharers(device, params);
  const auto [rate, is_new] =
      rates_[SizeOf(device, params)].try_emplace(sharers, tokens_per_second);
  if (!is_new) rate->second += kNewest * (tokens_per_second - rate->second);
  return MostUsefulSharers(device, params) != before;
}

int32_t SharingPaces::MostUsefulSharers(std::optional<run::DeviceKind> device,
                                        double params) const {
  const auto size = rates_.find(SizeOf(device, params));
  if (size == rates_.end()) return std::numeric_limits<int32_t>::max();
  double fewer = 0;
  int32_t fewer_sharers = 0;
  for (const auto& [sharers, rate] : size->second) {
    const double together = sharers * rate;
    if (sharers == fewer_sharers + 1 && sharers > 1 && together < fewer) return fewer_sharers;
    fewer = together;
    fewer_sharers = sharers;
  }
  return std::numeric_limits<int32_t>::max();
}

}  // namespace allometry::schedule
