// A picture as a list of marks, which SVG and PDF print alike.
//
// Lengths are points (1/72 inch), y grows downwards from the upper edge. The widths of letters are
// known here, so that the box of every text is known before it is drawn: Label draws one only where
// it meets no other text.
#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace allometry::figures {

struct XY {
  double x = 0, y = 0;
};
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  bool Meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool Holds(const Box& other) const {
    return left <= other.left && top <= other.top && right >= other.right && bottom >= other.bottom;
  }
  bool Holds(const XY& p) const {
    return left <= p.x && p.x <= right && top <= p.y && p.y <= bottom;
  }
};

struct Colour {
  int red = 0, green = 0, blue = 0;  // 0 to 255
};
inline constexpr Colour kBlack{0, 0, 0}, kWhite{255, 255, 255}, kGrey{110, 110, 110};

struct Line {
  std::vector<XY> points;
  Colour colour;
  double width = 1;
  double dash = 0;  // length of dashes and of gaps; 0: solid
};
struct Area {
  std::vector<XY> points;
  Colour colour;
  double opacity = 1;
};
// Round dots of one size and colour.
struct Dots {
  std::vector<XY> points;
  Colour colour;
  double radius = 1.5;
  double opacity = 1;
};
enum class Anchor { kStart, kMiddle, kEnd };
struct Text {
  XY at;  // of the baseline
  std::string text;
  double size = 10;
  Anchor anchor = Anchor::kStart;
  Colour colour = kBlack;
  bool bold = false;
  bool upwards = false;     // read from below to above
  std::string raised = {};  // set smaller and higher behind the text: an exponent
};

// The space that a text takes in the widest of the fonts that readers set it in.
Box BoxOf(const Text& text);
double WidthOf(absl::string_view text, double size, bool bold = false);
// In Helvetica, which PDF readers have.
double HelveticaWidthOf(absl::string_view text, double size, bool bold = false);
// What of a text Helvetica can show here: Latin-1, without controls; '?' for the rest.
std::string Shown(absl::string_view text);
// The text in lines of at most `width`, cut at spaces.
std::vector<std::string> Wrapped(absl::string_view text, double size, double width);

class Drawing {
 public:
  using Mark = std::variant<Line, Area, Dots, Text>;

  Drawing(double width, double height) : width_(width), height_(height) {}

  void Add(Line line) { marks_.emplace_back(std::move(line)); }
  void Add(Area area) { marks_.emplace_back(std::move(area)); }
  void Add(Dots dots) { marks_.emplace_back(std::move(dots)); }
  // Text that must stand: titles, axes.
  void Add(Text text);
  // Text that may be left out: drawn where it lies within `inside` and meets no other text, on a
  // light ground. Returns whether it was.
  bool Label(const Text& text, const Box& inside);

  double width() const { return width_; }
  double height() const { return height_; }
  const std::vector<Mark>& marks() const { return marks_; }
  const std::vector<Box>& text_boxes() const { return boxes_; }

 private:
  double width_, height_;
  std::vector<Mark> marks_;
  std::vector<Box> boxes_;
};

// One <svg> element: no script, no reference to anything outside.
std::string ToSvg(const Drawing& drawing);
// One page, its fonts those that every PDF reader has.
std::string ToPdf(const Drawing& drawing);

}  // namespace allometry::figures
