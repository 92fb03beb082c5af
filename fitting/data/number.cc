#include "fitting/data/number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

bool IsMissing(absl::string_view text) {
  static constexpr std::array kMissing = {
      "",      "na",    "n/a",    "#n/a",    "<na>",   "nan",  "null",    "none",    "nil",
      "-",     "--",    "---",    ".",       "?",      "\\n",  "missing", "#value!", "#div/0!",
      "#ref!", "#num!", "#name?", "nothing", "#null!", "-nan", "na_real_"};
  const std::string lower = absl::AsciiStrToLower(text);
  for (const char* missing : kMissing) {
    if (lower == missing) return true;
  }
  return false;
}

// The digits of an integer part whose groups are separated by one kind of mark; false where they
// are not groups.
bool JoinGroups(absl::string_view text, std::string& digits) {
  char mark = 0;
  std::vector<size_t> groups(1, 0);
  for (char c : text) {
    if (absl::ascii_isdigit(c)) {
      digits.push_back(c);
      ++groups.back();
    } else {
      if (mark != 0 && c != mark) return false;
      mark = c;
      groups.push_back(0);
    }
  }
  if (groups.size() == 1) return true;
  if (mark == '_') return true;
  if (groups.front() < 1 || groups.front() > 3 || groups.back() != 3) return false;
  bool threes = true, twos = groups.front() <= 2;
  for (size_t k = 1; k + 1 < groups.size(); ++k) {
    threes = threes && groups[k] == 3;
    twos = twos && groups[k] == 2;
  }
  return threes || (twos && mark == ',');
}

// Moves `at` over a run of digits and group marks that stand between digits.
absl::string_view TakeMantissa(absl::string_view text, size_t& at) {
  const size_t start = at;
  while (at < text.size()) {
    const char c = text[at];
    const bool digit_follows = at + 1 < text.size() && absl::ascii_isdigit(text[at + 1]);
    const bool mark = c == ',' || c == '.' || c == ' ' || c == '\'' || c == '_';
    if (!absl::ascii_isdigit(c) && !(mark && digit_follows)) break;
    ++at;
  }
  // "5." and "5," end in a decimal mark.
  if (at > start && at < text.size() && (text[at] == '.' || text[at] == ',')) ++at;
  return text.substr(start, at - start);
}

absl::string_view TakeInteger(absl::string_view text, size_t& at) {
  const size_t start = at;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
  const size_t digits = at;
  while (at < text.size() && absl::ascii_isdigit(text[at])) ++at;
  if (at == digits) at = start;
  return text.substr(start, at - start);
}

// "e9", "D+07", " x10^9", "*10**9", and "^9" behind a mantissa of 10.
std::string TakeExponent(absl::string_view text, absl::string_view mantissa, size_t& at,
                         bool& power_of_ten) {
  power_of_ten = false;
  size_t next = at;
  if (next < text.size() && absl::StrContains("eEdD", text.substr(next, 1))) {
    ++next;
    const absl::string_view exponent = TakeInteger(text, next);
    if (!exponent.empty()) {
      at = next;
      return std::string(exponent);
    }
    return "";
  }
  const auto hat = [&](size_t& here) {
    if (here < text.size() && text[here] == '^') return ++here, true;
    if (absl::StartsWith(text.substr(here), "**")) return here += 2, true;
    return false;
  };
  if (mantissa == "10" && hat(next)) {
    const absl::string_view exponent = TakeInteger(text, next);
    if (exponent.empty()) return "";
    at = next;
    power_of_ten = true;
    return std::string(exponent);
  }
  next = at;
  while (next < text.size() && text[next] == ' ') ++next;
  if (next >= text.size() || !absl::StrContains("xX*", text.substr(next, 1))) return "";
  ++next;
  while (next < text.size() && text[next] == ' ') ++next;
  if (!absl::StartsWith(text.substr(next), "10")) return "";
  next += 2;
  if (!hat(next)) return "";
  const absl::string_view exponent = TakeInteger(text, next);
  if (exponent.empty()) return "";
  at = next;
  return std::string(exponent);
}

std::string Quoted(absl::string_view text) { return "'" + SafePrefix(text, 40) + "', "; }

}  // namespace

bool PlainNumber(absl::string_view text, Decimal decimal, double& value) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (text.empty()) return false;
  if (decimal == Decimal::kComma && text.find('.') != absl::string_view::npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string PlainText(absl::string_view text) {
  static const auto& replacements =
      *new std::vector<std::pair<absl::string_view, absl::string_view>>{{"\xc2\xa0", " "},
                                                                        {"\xe2\x80\xaf", " "},
                                                                        {"\xe2\x80\x89", " "},
                                                                        {"\xe2\x80\x87", " "},
                                                                        {"\xe2\x80\x8b", ""},
                                                                        {"\xef\xbb\xbf", ""},
                                                                        {"\xe2\x81\xa0", ""},
                                                                        {"\xe2\x88\x92", "-"},
                                                                        {"\xc3\x97", "x"},
                                                                        {"\xc2\xb7", "*"},
                                                                        {"\xe2\x8b\x85", "*"},
                                                                        {"\xe2\x80\x99", "'"},
                                                                        {"\\,", " "},
                                                                        {"\\times", "x"},
                                                                        {"\\cdot", "*"},
                                                                        {"{", ""},
                                                                        {"}", ""},
                                                                        {"\xe2\x88\x9e", "inf"},
                                                                        {"\xe2\x81\xbb", "^-"},
                                                                        {"\xe2\x81\xb0", "^0"},
                                                                        {"\xc2\xb9", "^1"},
                                                                        {"\xc2\xb2", "^2"},
                                                                        {"\xc2\xb3", "^3"},
                                                                        {"\xe2\x81\xb4", "^4"},
                                                                        {"\xe2\x81\xb5", "^5"},
                                                                        {"\xe2\x81\xb6", "^6"},
                                                                        {"\xe2\x81\xb7", "^7"},
                                                                        {"\xe2\x81\xb8", "^8"},
                                                                        {"\xe2\x81\xb9", "^9"}};
  std::string plain;
  const bool special = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x80 || c == '\\' || c == '{' || c == '}';
  });
  plain = special ? absl::StrReplaceAll(text, replacements) : std::string(text);
  // A superscript of several digits has one ^.
  std::string joined;
  bool raised = false;
  for (size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == '^') {
      if (!raised) joined.push_back('^');
      raised = true;
      continue;
    }
    raised = raised && (absl::ascii_isdigit(plain[i]) || plain[i] == '-');
    joined.push_back(plain[i]);
  }
  absl::string_view trimmed = absl::StripAsciiWhitespace(joined);
  if (trimmed.size() > 2 && trimmed.front() == '$' && trimmed.back() == '$') {
    trimmed = trimmed.substr(1, trimmed.size() - 2);
  }
  if (trimmed.size() > 3 && absl::StartsWith(trimmed, "=\"") && trimmed.back() == '"') {
    trimmed = trimmed.substr(2, trimmed.size() - 3);  // a spreadsheet's text formula
  }
  if (trimmed.size() > 1 && trimmed[0] == '\'' && absl::ascii_isdigit(trimmed[1])) {
    trimmed.remove_prefix(1);  // a spreadsheet's mark of text
  }
  return std::string(absl::StripAsciiWhitespace(trimmed));
}

bool ParseNumber(absl::string_view text, Decimal decimal, ParsedNumber& number,
                 std::string& reason) {
  number = {};
  if (PlainNumber(text, decimal, number.value)) return true;
  const std::string plain = PlainText(text);
  if (IsMissing(plain)) {
    number.missing = true;
    return true;
  }
  if (PlainNumber(plain, decimal, number.value)) return true;
  const auto refuse = [&](absl::string_view why) {
    reason = absl::StrCat(Quoted(text), why);
    return false;
  };
  size_t at = 0;
  std::string digits;
  if (plain[0] == '-' || plain[0] == '+') {
    if (plain[0] == '-') digits.push_back('-');
    ++at;
  }
  const absl::string_view mantissa = TakeMantissa(plain, at);
  if (mantissa.empty()) return refuse("not a number");
  const char point = decimal == Decimal::kPoint ? '.' : ',';
  const size_t mark = mantissa.find(point);
  const absl::string_view whole = mantissa.substr(0, mark);
  absl::string_view fraction;
  if (mark != absl::string_view::npos) fraction = mantissa.substr(mark + 1);
  for (char c : fraction) {
    if (!absl::ascii_isdigit(c)) return refuse("not a number");
  }
  if (!JoinGroups(whole, digits)) {
    const bool other_mark = absl::StrContains(whole, decimal == Decimal::kPoint ? ',' : '.');
    return refuse(!other_mark ? "not a number"
                  : decimal == Decimal::kPoint
                      ? "not a number with a decimal point as elsewhere in the file"
                      : "not a number with a decimal comma as elsewhere in the file");
  }
  bool power_of_ten = false;
  const std::string exponent = TakeExponent(plain, mantissa, at, power_of_ten);
  if (power_of_ten) digits.replace(digits.size() - 2, 2, "1");
  if (!fraction.empty()) absl::StrAppend(&digits, ".", fraction);
  if (!exponent.empty()) {
    absl::StrAppend(&digits, "e", exponent[0] == '+' ? exponent.substr(1) : exponent);
  }
  const absl::string_view rest =
      absl::StripLeadingAsciiWhitespace(absl::string_view(plain).substr(at));
  if (!rest.empty() && (!absl::ascii_isalpha(rest[0]) ||
                        rest.find_first_of("0123456789") != absl::string_view::npos)) {
    return refuse("not a number");
  }
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number.value);
  if (error == std::errc::result_out_of_range) return refuse("not a number of double range");
  if (error != std::errc() || end != digits.data() + digits.size()) return refuse("not a number");
  number.suffix = std::string(rest);
  return true;
}

DecimalEvidence EvidenceOf(absl::string_view text) {
  if (text.find_first_of(".,") == absl::string_view::npos) return DecimalEvidence::kNone;
  ParsedNumber as_point, as_comma;
  std::string ignored;
  const bool point = ParseNumber(text, Decimal::kPoint, as_point, ignored) && !as_point.missing;
  const bool comma = ParseNumber(text, Decimal::kComma, as_comma, ignored) && !as_comma.missing;
  if (point && comma) {
    return as_point.value == as_comma.value ? DecimalEvidence::kNone : DecimalEvidence::kEither;
  }
  return point ? DecimalEvidence::kPoint : comma ? DecimalEvidence::kComma : DecimalEvidence::kNone;
}

}  // namespace allometry::fitting
