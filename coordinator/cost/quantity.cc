#include "coordinator/cost/quantity.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace allometry::cost {

std::string CountText(double count) {
  if (!(std::abs(count) < 1e18)) return absl::StrFormat("%.3g", count);
  if (std::abs(count) < 10000) return absl::StrFormat("%.4g", count);
  static constexpr struct {
    double unit;
    char suffix;
  } kUnits[] = {{1e3, 'k'}, {1e6, 'M'}, {1e9, 'B'}, {1e12, 'T'}, {1e15, 'P'}};
  // 999,990 rounds to 1M, not to 1000k.
  for (const auto& [unit, suffix] : kUnits) {
    if (std::abs(count) < 999.95 * unit) return absl::StrFormat("%.4g%c", count / unit, suffix);
  }
  return absl::StrFormat("%.3g", count);
}

std::string FlopsText(double flops) {
  const std::string text = absl::StrFormat("%.2e", flops);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  return absl::StrCat(text.substr(0, exponent), "e", std::atoi(text.c_str() + exponent + 1));
}

std::string DurationText(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds >= 1000 * 86400.0) return absl::StrFormat("%.2gy", seconds / (365.25 * 86400));
  if (seconds < 9.95) return absl::StrFormat("%.1fs", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return absl::StrFormat("%ds", whole);
  if (whole < 3600) return absl::StrFormat("%dm %02ds", whole / 60, whole % 60);
  const int64_t minutes = std::llround(seconds / 60);
  if (minutes < 24 * 60) return absl::StrFormat("%dh %02dm", minutes / 60, minutes % 60);
  const int64_t hours = std::llround(seconds / 3600);
  return absl::StrFormat("%dd %02dh", hours / 24, hours % 24);
}

std::string BytesText(double bytes) {
  if (bytes < 1024) return absl::StrFormat("%.0f B", bytes);
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = bytes;
  size_t unit = 0;
  for (value /= 1024; value >= 1023.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.3g %s", value, kUnits[unit]);
}

}  // namespace allometry::cost
