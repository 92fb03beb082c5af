// A number as people write it in tables: 5.77, 5,77, 10 000 000, "10,000,000", 10_000_000, 1.5e9,
// 1.5x10^9, 10M, 300B tokens, NA.
//
// Thousands may be separated by spaces of any width, apostrophes, underscores, or by whichever of
// point and comma is not the decimal mark; groups must have three digits (or two, as in India,
// above the last three). Nothing is guessed: "5,77" in a table with decimal points is not a number.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace allometry::fitting {

enum class Decimal { kPoint, kComma };

struct ParsedNumber {
  double value = 0;
  bool missing = false;  // empty, NA, null, nan of a spreadsheet, ...; value is 0
  std::string suffix;    // what follows the digits: "M", "B tokens", "PF-days"
};

// Plain numbers of the C locale: what nearly every field of a large file is. False sends the text
// to ParseNumber. With kComma a text that holds a point is not plain.
bool PlainNumber(absl::string_view text, Decimal decimal, double& value);

// False where the text is not a number; `reason` then begins with "'text', ".
bool ParseNumber(absl::string_view text, Decimal decimal, ParsedNumber& number,
                 std::string& reason);

// Whether the text can only be read with a decimal point (5.771234, 1,234.5), only with a decimal
// comma, or with either (1234; 1,234).
enum class DecimalEvidence { kNone, kPoint, kComma, kEither };
DecimalEvidence EvidenceOf(absl::string_view text);

// The text without the spaces, signs and marks that typesetting puts into numbers: no-break spaces
// become spaces, a typographic minus becomes '-', U+00D7 becomes 'x', superscripts become ^digits.
std::string PlainText(absl::string_view text);

}  // namespace allometry::fitting
