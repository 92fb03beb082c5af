#include "figures/drawing.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"

namespace allometry::figures {
namespace {

// Adobe's metrics of Helvetica and Helvetica-Bold, thousandths of the size, from space to '~'.
constexpr std::array<int, 95> kPlain = {
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333,  278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667,  611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278,  556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500,  500, 334, 260, 334, 584};
constexpr std::array<int, 95> kBold = {
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667,
    611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556,
    278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584};
// The wider of Helvetica and DejaVu Sans, which many systems without Helvetica set instead: room
// for either.
constexpr std::array<int, 95> kWidePlain = {
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361,  318, 337, 637, 637, 637,
    637, 637, 637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 556, 1015, 685, 687, 722, 771, 667,
    611, 778, 752, 295, 500, 667, 558, 863, 749, 788, 667, 788, 722, 667,  611, 732, 685, 989, 686,
    667, 686, 391, 337, 391, 838, 556, 500, 613, 635, 550, 635, 616, 353,  635, 634, 278, 278, 580,
    278, 975, 634, 612, 635, 635, 412, 521, 393, 634, 592, 818, 592, 592,  525, 637, 337, 637, 838};
constexpr std::array<int, 95> kWideBold = {
    349,  457, 521, 838, 696, 1002, 873, 307,  458, 458, 523, 838, 380, 416,  380, 366,
    696,  696, 696, 696, 696, 696,  696, 696,  696, 696, 400, 400, 838, 838,  838, 611,
    1000, 774, 763, 734, 831, 684,  684, 821,  837, 373, 556, 775, 638, 996,  837, 851,
    733,  851, 771, 721, 683, 813,  774, 1104, 771, 725, 726, 458, 366, 458,  838, 556,
    500,  675, 716, 593, 716, 679,  436, 716,  712, 343, 343, 666, 343, 1042, 712, 688,
    716,  716, 494, 596, 479, 712,  652, 924,  646, 652, 583, 712, 366, 712,  838};
// Of Latin-1 beyond ASCII no letter is wider than these.
constexpr int kOther = 1000, kOtherWide = 1100;

// Readers that set every letter at whole pixels take so much more at small sizes.
constexpr double kRounding = 1.05;
constexpr double kAscent = 0.76, kDescent = 0.24;  // of the size

// Code points of UTF-8, broken bytes as U+FFFD.
std::vector<char32_t> CodePoints(absl::string_view text) {
  std::vector<char32_t> points;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const int length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
    if (length == 0 || i + length > text.size()) {
      points.push_back(0xfffd);
      ++i;
      continue;
    }
    char32_t point = length == 1 ? byte : byte & (0x7f >> length);
    for (int k = 1; k < length; ++k) {
      point = point << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    }
    points.push_back(point);
    i += length;
  }
  return points;
}

}  // namespace

std::string Shown(absl::string_view text) {
  std::string shown;
  for (const char32_t point : CodePoints(text)) {
    if (point >= 0x20 && point < 0x7f) {
      shown.push_back(static_cast<char>(point));
    } else if (point >= 0xa1 && point <= 0xff && point != 0xad) {
      shown.push_back(static_cast<char>(0xc0 | point >> 6));
      shown.push_back(static_cast<char>(0x80 | (point & 0x3f)));
    } else {
      shown.push_back(point == 0xa0 || point == '\n' || point == '\t' ? ' ' : '?');
    }
  }
  return shown;
}

namespace {

double Sum(absl::string_view text, double size, const std::array<int, 95>& widths, int other) {
  double width = 0;
  for (const char32_t point : CodePoints(text)) {
    width += point >= 0x20 && point < 0x7f ? widths[point - 0x20] : other;
  }
  return width * size / 1000;
}

}  // namespace

double WidthOf(absl::string_view text, double size, bool bold) {
  return kRounding * Sum(text, size, bold ? kWideBold : kWidePlain, kOtherWide);
}

double HelveticaWidthOf(absl::string_view text, double size, bool bold) {
  return Sum(text, size, bold ? kBold : kPlain, kOther);
}

Box BoxOf(const Text& text) {
  const double raised = WidthOf(text.raised, 0.7 * text.size, text.bold);
  const double width = WidthOf(text.text, text.size, text.bold) + raised;
  const double up = (text.raised.empty() ? kAscent : 0.4 + 0.7 * kAscent) * text.size;
  const double down = kDescent * text.size;
  const double before = text.anchor == Anchor::kStart    ? 0
                        : text.anchor == Anchor::kMiddle ? width / 2
                                                         : width;
  if (text.upwards) {
    return {text.at.x - up, text.at.y - (width - before), text.at.x + down, text.at.y + before};
  }
  return {text.at.x - before, text.at.y - up, text.at.x - before + width, text.at.y + down};
}

std::vector<std::string> Wrapped(absl::string_view text, double size, double width) {
  std::vector<std::string> lines;
  std::string line;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    // A word longer than a line is cut, between code points.
    while (WidthOf(word, size) > width) {
      size_t fits = 0;
      for (size_t end = 1; end <= word.size(); ++end) {
        const bool whole =
            end == word.size() || (static_cast<unsigned char>(word[end]) & 0xc0) != 0x80;
        if (!whole) continue;
        if (WidthOf(word.substr(0, end), size) > width) break;
        fits = end;
      }
      if (fits == 0) break;
      if (!line.empty()) lines.push_back(std::exchange(line, ""));
      lines.emplace_back(word.substr(0, fits));
      word.remove_prefix(fits);
    }
    const std::string longer = line.empty() ? std::string(word) : line + " " + std::string(word);
    if (!line.empty() && WidthOf(longer, size) > width) {
      lines.push_back(std::exchange(line, std::string(word)));
    } else {
      line = longer;
    }
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

void Drawing::Add(Text text) {
  text.text = Shown(text.text);
  boxes_.push_back(BoxOf(text));
  marks_.emplace_back(std::move(text));
}

bool Drawing::Label(const Text& text, const Box& inside) {
  constexpr double kGap = 1;
  const Box box = BoxOf(text);
  if (!inside.Holds(box)) return false;
  const Box wide{box.left - kGap, box.top - kGap, box.right + kGap, box.bottom + kGap};
  if (std::any_of(boxes_.begin(), boxes_.end(),
                  [&](const Box& other) { return other.Meets(wide); })) {
    return false;
  }
  Add(Area{{{wide.left, wide.top},
            {wide.right, wide.top},
            {wide.right, wide.bottom},
            {wide.left, wide.bottom}},
           kWhite,
           0.75});
  Add(text);
  return true;
}

}  // namespace allometry::figures
