#include "base/duration.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace allometry {
namespace {

struct Unit {
  absl::string_view suffix;
  double seconds;
};
// "ms" before the "s" in which it ends.
constexpr Unit kUnits[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86'400}};

}  // namespace

absl::StatusOr<double> ParseDuration(absl::string_view text) {
  if (text == "0") return 0.0;
  for (const Unit& unit : kUnits) {
    absl::string_view number = text;
    if (!absl::ConsumeSuffix(&number, unit.suffix)) continue;
    number = absl::StripTrailingAsciiWhitespace(number);
    double value = 0;
    // SimpleAtod would also read "0x10s" and "1e999s".
    const bool is_number = !number.empty() && absl::ascii_isdigit(number[0]) &&
                           number.find_first_not_of("0123456789.eE+-") == absl::string_view::npos &&
                           absl::SimpleAtod(number, &value) && std::isfinite(value);
    if (!is_number) break;
    return value * unit.seconds;
  }
  return absl::InvalidArgumentError(
      "is not a time with its unit, such as 500ms, 30s, 5m, 2h or 1d");
}

std::string FormatDuration(double seconds) {
  const Unit* unit = &kUnits[1];
  const auto is_whole = [&](const Unit& candidate) {
    const double count = seconds / candidate.seconds;
    return count >= 1 && std::abs(count - std::round(count)) <= 1e-9 * count;
  };
  for (const Unit& candidate : kUnits) {
    if (is_whole(candidate)) unit = &candidate;
  }
  return absl::StrFormat("%.10g%s", seconds / unit->seconds, unit->suffix);
}

}  // namespace allometry
