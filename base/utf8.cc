#include "base/utf8.h"

namespace allometry {

size_t FirstInvalidUtf8(absl::string_view text) {
  // Lead bytes of each length and the range of the byte after them (Unicode 15, table 3-7).
  static constexpr struct {
    unsigned char lead_low, lead_high;
    int length;
    unsigned char next_low, next_high;
  } kForms[] = {
      {0x01, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
      {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
      {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
  };
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    size_t length = 0;
    for (const auto& form : kForms) {
      if (byte(i) < form.lead_low || byte(i) > form.lead_high) continue;
      if (i + form.length > text.size()) break;
      bool whole =
          form.length == 1 || (byte(i + 1) >= form.next_low && byte(i + 1) <= form.next_high);
      for (int k = 2; k < form.length; ++k) whole = whole && (byte(i + k) & 0xc0) == 0x80;
      if (whole) length = form.length;
      break;
    }
    if (length == 0) return i;
    i += length;
  }
  return absl::string_view::npos;
}

}  // namespace allometry
