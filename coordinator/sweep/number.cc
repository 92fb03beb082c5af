#include "coordinator/sweep/number.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/charconv.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"

namespace allometry::sweep {
namespace {

absl::string_view SuffixExponent(char suffix) {
  switch (suffix) {
    case 'k':
    case 'K':
      return "e3";
    case 'M':
      return "e6";
    case 'G':
    case 'B':
      return "e9";
    case 'T':
      return "e12";
    default:
      return "";
  }
}

// The text without its underscores; empty when one does not stand between two digits.
std::string WithoutUnderscores(absl::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
    } else if (i == 0 || i + 1 == text.size() || !absl::ascii_isdigit(text[i - 1]) ||
               !absl::ascii_isdigit(text[i + 1])) {
      return "";
    }
  }
  return digits;
}

}  // namespace

absl::StatusOr<double> ParseNumber(absl::string_view text) {
  const absl::Status not_a_number =
      absl::InvalidArgumentError("is not a number such as 5k, 1.2M, 3e10 or 1_000");
  std::string number = WithoutUnderscores(text);
  if (number.empty()) return not_a_number;
  if (absl::EndsWith(number, "m")) {
    return absl::InvalidArgumentError("is not a number: a million is written M");
  }
  if (const absl::string_view exponent = SuffixExponent(number.back()); !exponent.empty()) {
    number.pop_back();
    if (number.find_first_of("eE") != std::string::npos) return not_a_number;
    absl::StrAppend(&number, exponent);
  }
  // from_chars would also read "inf", "nan" and "0x10".
  if (number.find_first_not_of("0123456789.eE+-") != std::string::npos) return not_a_number;
  double value = 0;
  const auto [end, error] = absl::from_chars(number.data(), number.data() + number.size(), value);
  if (error == std::errc::invalid_argument || end != number.data() + number.size()) {
    return not_a_number;
  }
  if (error == std::errc::result_out_of_range && std::abs(value) > 1) {
    return absl::InvalidArgumentError("is too large for a number");
  }
  return value;
}

std::string FormatNumber(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e6) return absl::StrFormat("%.0f", value);
  std::string text = absl::StrFormat("%.4g", value);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  return absl::StrFormat("%se%d", text.substr(0, exponent), std::atoi(text.c_str() + exponent + 1));
}

}  // namespace allometry::sweep
